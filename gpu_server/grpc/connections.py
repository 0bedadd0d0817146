"""Limits on gRPC's connections, which are counted, measured and closed through their sockets.

gRPC bounds the connections of all peers together, and the streams and messages of one connection. It does not tell
which peer has how many connections, nor how much of unfinished messages it holds, and has no way to close one. The
system knows all of that of a socket. So the sockets of this process are inspected twice a second; that needs Linux,
and elsewhere nothing is limited here.

Streams that are cancelled as soon as they begin are handled inside gRPC, and few of them reach a handler. They show as
bytes that belong to no message.
"""

import asyncio
import contextlib
import logging
import os
import socket
import stat
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from overtone.gpu_server.limits.bans import HOLD, Bans
from overtone.gpu_server.limits.budget import ALL, PEER
from overtone.gpu_server.limits.peers import endpoint_of, peer_of

log = logging.getLogger(__name__)

Endpoint: TypeAlias = tuple[str, int]

OPEN_FILES = Path("/proc/self/fd")
# In `struct tcp_info` of linux/tcp.h, an unsigned 64-bit number of bytes.
BYTES_RECEIVED = 128
INFO_SIZE = BYTES_RECEIVED + 8
# Bytes on the wire beside those of messages, at most: TLS, headers, frames, and updates of windows for answers.
PER_CONNECTION, PER_STREAM, PER_MESSAGE = 16 * 1024, 4 * 1024, 256
# Seconds between two inspections.
INTERVAL = 0.5
# Bytes that belong to no message, and streams that did nothing, since the last inspection: more are an attack.
NOISE, USELESS_STREAMS = 128 * 1024, 4
# Seconds for which an attacking peer is banned; ten times as long whenever it attacks again, up to the second.
BAN, LONGEST_BAN = 60.0, 3600.0
# Sockets between which other tasks may run.
AT_ONCE = 64


@dataclass(eq=False, slots=True)
class Connection:
    """One connection, and what its streams have done.

    Attributes:
        peer: the name of the peer.
        streams: streams that have begun.
        open: streams that are open.
        wasted: streams that have done nothing useful, whether open or ended.
        messages: messages that have arrived whole.
        read: bytes of these.
        held: bytes of unfinished messages at the last inspection.
        seen: `messages` at the last inspection.
        idle_ends: streams that had ended without having done anything useful at the last inspection.
    """

    peer: str
    streams: int = 0
    open: int = 0
    wasted: int = 0
    messages: int = 0
    read: int = 0
    held: int = 0
    seen: int = 0
    idle_ends: int = 0

    def measure(self, received: int) -> bool:
        """Record the bytes received so far; returns whether too many since the last inspection belong to no message."""
        held, idle_ends = self.unfinished(received), self.wasted - self.open
        useless = self.open == 0 or idle_ends - self.idle_ends >= USELESS_STREAMS
        noise = held - self.held > NOISE and self.messages == self.seen and useless
        self.held, self.seen, self.idle_ends = held, self.messages, idle_ends
        return noise

    def unfinished(self, received: int) -> int:
        """The part of the bytes received that must belong to messages which have not arrived whole."""
        beside = PER_CONNECTION + PER_STREAM * self.streams + PER_MESSAGE * self.messages
        return max(0, received - self.read - beside)


@dataclass(frozen=True, slots=True)
class _Socket:
    """A connection's socket: its file descriptor, its remote end, and the bytes it has received."""

    number: int
    endpoint: Endpoint
    received: int


class GrpcConnections:
    """Limits the connections to some ports of this process.

    Args:
        limit: connections of all peers together.
        unfinished: bytes of messages that have not arrived whole, of all peers together.
        share: the part of both that one peer may have.
        on_refused: called with the name of a limit, and `ALL` or `PEER`, for each connection that is closed.

    Attributes:
        ports: the ports of which connections are limited.
    """

    def __init__(
        self, limit: int, unfinished: int, share: float, on_refused: Callable[[str, str], None]
    ) -> None:
        self.ports: set[int] = set()
        self._largest = max(1, int(limit * share))
        self._proxied = share >= 1
        self._unfinished = unfinished
        self._largest_unfinished = int(unfinished * share)
        self._on_refused = on_refused
        self._known: dict[Endpoint, Connection] = {}
        self._bans = Bans()
        self._seconds: dict[str, float] = {}
        self._cut: set[str] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def of(self, grpc_peer: str) -> Connection:
        """The connection of a call, by its `ServicerContext.peer`."""
        endpoint = endpoint_of(grpc_peer)
        known = self._known.get(endpoint)
        if known is None:
            known = self._known[endpoint] = Connection(peer_of(endpoint[0]))
        return known

    def ban(self, peer: str) -> None:
        """Close this peer's connections and ban it for a while; not where all clients come through one proxy."""
        if peer in self._cut or self._proxied:
            return
        self._on_refused("streams", PEER)
        seconds = self._seconds[peer] = min(10 * self._seconds.get(peer, BAN / 10), LONGEST_BAN)
        self._bans.add(peer, seconds)
        self._cut.add(peer)
        log.warning(
            "%s begins streams and cancels them; its gRPC connections are dropped for %g s", peer, seconds
        )
        self._wake.set()

    def start(self) -> None:
        """Begin to inspect the connections."""
        if OPEN_FILES.is_dir():
            self._task = asyncio.create_task(self._watch(), name="overtone-grpc-connections")

    async def stop(self) -> None:
        """Stop inspecting the connections, and end all bans."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for listener in self._bans.listeners:
            listener.close()

    async def inspect(self) -> None:
        """Inspect all connections once, and close those that are too many or hold too much."""
        before = set(self._known)
        found = [each async for each in self._sockets()]
        # Connections that were made meanwhile are kept: their streams count already.
        for gone in before - {each.endpoint for each in found}:
            del self._known[gone]
        for each in found:
            self._known.setdefault(each.endpoint, _unknown(each.endpoint))
        for each in found:
            connection = self._known[each.endpoint]
            if connection.measure(each.received):
                self.ban(connection.peer)
        for each in self._excess(found):
            _cut(each)
        self._cut.clear()

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self.inspect()
            except Exception:
                log.exception("looking at connections failed")

    def _add_listener(self, own: socket.socket) -> None:
        """Keep a duplicate of a listener, unless there is one."""
        if own.getsockname() not in [each.getsockname() for each in self._bans.listeners]:
            # Not `own.dup()`, which would make it block, and with it gRPC's own.
            self._bans.listeners.append(socket.socket(fileno=os.dup(own.fileno())))

    async def _sockets(self) -> AsyncIterator[_Socket]:
        """The connections to `ports`; listeners that are found are kept for bans."""
        for count, name in enumerate(os.listdir(OPEN_FILES)):
            if count % AT_ONCE == 0:
                await asyncio.sleep(0)
            with _opened(int(name)) as own:
                if own is None or own.getsockname()[1] not in self.ports:
                    continue
                if own.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    self._add_listener(own)
                    continue
                with contextlib.suppress(OSError):  # it has been closed by the other side
                    yield _Socket(int(name), _endpoint(own), _received(own))

    def _excess(self, found: list[_Socket]) -> Iterator[_Socket]:
        peers: dict[str, list[_Socket]] = defaultdict(list)
        for each in found:
            peers[self._known[each.endpoint].peer].append(each)
        held = {each: self._known[each.endpoint].held for each in found}
        for peer, theirs in peers.items():
            if peer in self._cut:
                yield from theirs
                continue
            yield from self._over_share(theirs)
            yield from self._over_bytes(theirs, held, self._largest_unfinished, PEER)
        yield from self._over_bytes(found, held, self._unfinished, ALL)

    def _over_share(self, theirs: list[_Socket]) -> list[_Socket]:
        """One peer's connections beyond its share, those without streams first; bans it from opening others."""
        excess = len(theirs) - self._largest
        if excess <= 0:
            return []
        self._bans.add(self._known[theirs[0].endpoint].peer, HOLD)
        for _ in range(excess):
            self._on_refused("connections", PEER)
        return sorted(theirs, key=lambda each: self._known[each.endpoint].open)[:excess]

    def _over_bytes(
        self, of: list[_Socket], held: dict[_Socket, int], limit: int, scope: str
    ) -> Iterator[_Socket]:
        """The connections with most bytes of unfinished messages, until the others hold no more than the limit."""
        total = sum(held[each] for each in of)
        for each in sorted(of, key=held.__getitem__, reverse=True):
            if total <= limit:
                return
            total -= held[each]
            held[each] = 0
            self._on_refused("unfinished", scope)
            yield each


def _unknown(endpoint: Endpoint) -> Connection:
    """A connection without any stream so far."""
    return Connection(peer_of(endpoint[0]))


@contextlib.contextmanager
def _opened(number: int) -> Iterator[socket.socket | None]:
    """The IP socket of a file descriptor, or None if it has none. The descriptor itself stays open.

    The socket is a duplicate, because another thread may close the descriptor and reuse its number at any time.
    """
    with contextlib.ExitStack() as stack:
        own = None
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                duplicate = stack.enter_context(_socket(os.dup(number)))
                if duplicate.family in (socket.AF_INET, socket.AF_INET6):
                    own = duplicate
        yield own


def _socket(number: int) -> socket.socket:
    """The socket of a file descriptor, which is closed if it is no socket."""
    try:
        return socket.socket(fileno=number)
    except OSError:
        os.close(number)
        raise


def _endpoint(own: socket.socket) -> Endpoint:
    """The remote end of a socket in the form of `peers.endpoint_of`."""
    host, port = own.getpeername()[:2]
    return host.removeprefix("::ffff:") if "." in host else host, port


def _received(own: socket.socket) -> int:
    info = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_SIZE)
    return int(struct.unpack_from("=Q", info, BYTES_RECEIVED)[0]) if len(info) == INFO_SIZE else 0


def _cut(found: _Socket) -> None:
    """End a connection for both sides; gRPC closes the socket when it hears of that."""
    with contextlib.suppress(OSError), _opened(found.number) as own:
        if own is not None and _endpoint(own) == found.endpoint:
            own.shutdown(socket.SHUT_RDWR)
