"""gRPC's connections, as far as gRPC leaves them open: counted, measured and cut by their sockets.

gRPC bounds the connections of all peers together, and the streams and messages of one connection. It does not tell
which peer has how many connections, nor how much of unfinished messages it holds, and has no way to close one. The
system knows all of that of a socket. So the sockets of this process are looked through once a second; that needs
Linux, and elsewhere nothing is cut.
"""

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from overtone.gpu_server.budget import ALL, PEER
from overtone.gpu_server.peers import endpoint_of, peer_of

Endpoint: TypeAlias = tuple[str, int]

OPEN_FILES = Path("/proc/self/fd")
# In `struct tcp_info` of linux/tcp.h, an unsigned 64-bit number of bytes.
BYTES_RECEIVED = 128
INFO_SIZE = BYTES_RECEIVED + 8
# Bytes on the wire beside those of messages, at most: TLS, headers, frames, and updates of windows for answers.
PER_CONNECTION, PER_STREAM, PER_MESSAGE = 16 * 1024, 4 * 1024, 256
# Seconds between two looks, and while somebody is banned.
INTERVAL, BANNED_INTERVAL = 1.0, 0.05
# Seconds for which all connections of a peer are cut that did what only an attacker does.
BAN = 10.0
# Sockets between which other tasks may run.
AT_ONCE = 64


@dataclass(eq=False, slots=True)
class Connection:
    """What the streams of one connection have done.

    Attributes:
        peer: whose it is.
        streams: how many there were.
        open: how many there are.
        wasted: how many ended before they had done anything, or have not done anything yet.
        messages: how many have come whole.
        read: bytes of these.
    """

    peer: str
    streams: int = 0
    open: int = 0
    wasted: int = 0
    messages: int = 0
    read: int = 0

    def unfinished(self, received: int) -> int:
        """Bytes that must be those of messages which have not come whole, if so many have been received."""
        beside = PER_CONNECTION + PER_STREAM * self.streams + PER_MESSAGE * self.messages
        return max(0, received - self.read - beside)


@dataclass(frozen=True, slots=True)
class _Socket:
    """A connection's socket: its number, whom it leads to, and the bytes it has received."""

    number: int
    endpoint: Endpoint
    received: int


class GrpcConnections:
    """Looks after the connections to some ports of this process.

    Args:
        limit: of connections, of all peers together.
        unfinished: bytes of messages that have not come whole, of all peers together.
        share: the part of both that one peer may have.
        on_refused: called with what was limited, and whose limit it was, for each connection that is cut.
    """

    def __init__(
        self, limit: int, unfinished: int, share: float, on_refused: Callable[[str, str], None]
    ) -> None:
        self.ports: set[int] = set()
        self._largest = max(1, int(limit * share))
        self._unfinished = unfinished
        self._largest_unfinished = int(unfinished * share)
        self._on_refused = on_refused
        self._known: dict[Endpoint, Connection] = {}
        self._banned: dict[str, float] = {}
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
        """Cut this peer's connections, and for some seconds those that it opens."""
        if peer not in self._banned:
            self._on_refused("streams", PEER)
        self._banned[peer] = asyncio.get_running_loop().time() + BAN
        self._wake.set()

    def is_banned(self, peer: str) -> bool:
        """Whether its connections are cut now."""
        return self._banned.get(peer, 0.0) > asyncio.get_running_loop().time()

    def start(self) -> None:
        """Look from now on."""
        if OPEN_FILES.is_dir():
            self._task = asyncio.create_task(self._watch(), name="overtone-grpc-connections")

    async def stop(self) -> None:
        """Look no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Look once, and cut what is too much."""
        self._forget_bans()
        found = [each async for each in self._sockets()]
        self._known = {s.endpoint: self._known.get(s.endpoint) or _unknown(s.endpoint) for s in found}
        for each in self._too_much(found):
            _cut(each)

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BANNED_INTERVAL if self._banned else INTERVAL):
                    await self._wake.wait()
            self._wake.clear()
            await self.look()

    def _forget_bans(self) -> None:
        now = asyncio.get_running_loop().time()
        self._banned = {peer: until for peer, until in self._banned.items() if until > now}

    async def _sockets(self) -> AsyncIterator[_Socket]:
        for count, name in enumerate(os.listdir(OPEN_FILES)):
            if count % AT_ONCE == 0:
                await asyncio.sleep(0)
            with _opened(int(name)) as own:
                if own is not None and own.getsockname()[1] in self.ports:
                    yield _Socket(int(name), _endpoint(own), _received(own))

    def _too_much(self, found: list[_Socket]) -> Iterator[_Socket]:
        peers: dict[str, list[_Socket]] = defaultdict(list)
        for each in found:
            peers[self._known[each.endpoint].peer].append(each)
        held = {each: self._known[each.endpoint].unfinished(each.received) for each in found}
        for peer, theirs in peers.items():
            if peer in self._banned:
                yield from theirs
                continue
            yield from self._over_share(theirs)
            yield from self._over_bytes(theirs, held, self._largest_unfinished, PEER)
        yield from self._over_bytes(found, held, self._unfinished, ALL)

    def _over_share(self, theirs: list[_Socket]) -> list[_Socket]:
        """Connections of one peer above its share, those without streams first."""
        excess = len(theirs) - self._largest
        if excess <= 0:
            return []
        for _ in range(excess):
            self._on_refused("connections", PEER)
        return sorted(theirs, key=lambda each: self._known[each.endpoint].open)[:excess]

    def _over_bytes(
        self, of: list[_Socket], held: dict[_Socket, int], limit: int, scope: str
    ) -> Iterator[_Socket]:
        """Those that hold most of unfinished messages, until the others hold no more than the limit."""
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
    """The TCP connection of this file number; None if it is none. The number itself stays open.

    A duplicate, so that what is done to it is done to the connection that was looked at: the number may be closed and
    used again at any time, by other threads.
    """
    with contextlib.ExitStack() as stack:
        own = None
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                duplicate = stack.enter_context(socket.socket(fileno=os.dup(number)))
                if duplicate.family in (socket.AF_INET, socket.AF_INET6):
                    duplicate.getpeername()  # fails for a listener
                    own = duplicate
        yield own


def _endpoint(own: socket.socket) -> Endpoint:
    """As `peers.endpoint_of` has it."""
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
