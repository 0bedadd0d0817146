"""A thin link: a TCP relay with a rate and a delay in each direction, counting the bytes it carries.

All connections share it, as all programs on a device share its modem: a first-in first-out queue for each
direction, drained at the direction's rate, then half a round trip on the way. Queues are short and nothing
is read ahead of them, so a sender feels the link as back pressure. What is counted is TCP payload.
"""

import asyncio
import contextlib
import math
import signal
import socket
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from benchmarks.lane import Clock, Flow, Lane
from benchmarks.rate import UNLIMITED, Rate, UnitError, parse_duration
from benchmarks.sockets import bind, connect, endpoint, reset

REMEMBERED = 10_000


@dataclass
class Traffic:
    """Bytes of TCP payload delivered: `up` from those who connected, `down` to them."""

    up: int = 0
    down: int = 0
    peer: str = ""


class Link:
    """A relay from its own port to `target`; use as ``async with Link("host:50051", up="1mbit") as link``.

    Args:
        target: where to connect to, "host:port".
        up: rate from the device to the target, a `Rate` or text such as "300kbit"; None is unlimited.
        down: rate back to the device.
        rtt: round trip, in seconds or as "50ms"; a new connection waits for one, as a TCP handshake would.
        listen: where devices connect; port 0 takes a free one, see `address`.

    Raises:
        UnitError: a rate, duration or address that cannot be read.
    """

    def __init__(
        self,
        target: str,
        *,
        up: Rate | str | None = None,
        down: Rate | str | None = None,
        rtt: float | str = 0.0,
        listen: str = "127.0.0.1:0",
    ) -> None:
        self.target = endpoint(target)
        self.up, self.down = _rate(up), _rate(down)
        self.rtt = parse_duration(rtt) if isinstance(rtt, str) else rtt
        if not 0 <= self.rtt < math.inf:
            raise UnitError(f"the round trip must be zero or more seconds, got {self.rtt}")
        self.total = Traffic()
        self.connections: deque[Traffic] = deque(maxlen=REMEMBERED)
        self._listen = endpoint(listen)
        self._open: dict[asyncio.Task[None], socket.socket] = {}
        self._broken = False

    async def __aenter__(self) -> Self:
        self._clock = Clock()
        self._up = Lane(self.up, self.rtt / 2, self._clock)
        self._down = Lane(self.down, self.rtt / 2, self._clock)
        self._listener = await bind(self._listen)
        self._accepting = asyncio.create_task(self._accept())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._accepting.cancel()
        await asyncio.wait([self._accepting])
        self._listener.close()
        await self._reset_all()

    @property
    def host(self) -> str:
        """The address devices connect to."""
        return str(self._listener.getsockname()[0])

    @property
    def port(self) -> int:
        """The port devices connect to."""
        return int(self._listener.getsockname()[1])

    @property
    def address(self) -> str:
        """`host`:`port`, ready for a client."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    async def cut(self, *, reset: bool = True) -> None:
        """Begin an outage.

        Args:
            reset: reset all connections, and new ones as they come; else nothing moves and nobody is told,
                as when a device drives into a tunnel.
        """
        if reset:
            self._broken = True
            await self._reset_all()
        else:
            self._clock.stop()

    def restore(self) -> None:
        """End the outage; what was frozen goes on where it stood."""
        self._broken = False
        self._clock.go()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                device, address = await loop.sock_accept(self._listener)
            except OSError:  # the peer left before we came, or no descriptor is free just now
                await asyncio.sleep(0.05)
                continue
            device.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._broken:
                reset(device)
                continue
            task = asyncio.create_task(self._carry(device, f"{address[0]}:{address[1]}"))
            self._open[task] = device
            task.add_done_callback(self._open.pop)

    async def _carry(self, device: socket.socket, peer: str) -> None:
        traffic = Traffic(peer=peer)
        self.connections.append(traffic)
        with contextlib.ExitStack() as stack:
            stack.callback(reset, device)
            try:
                await self._clock.until(self._clock.time() + self.rtt)
                target = await connect(self.target)
                stack.callback(reset, target)
                await self._exchange(device, target, traffic)
                device.close()
                target.close()
            except* OSError:
                pass  # a reset, on either side, or no target: passed on as a reset

    async def _exchange(self, device: socket.socket, target: socket.socket, traffic: Traffic) -> None:
        def up(size: int) -> None:
            traffic.up += size
            self.total.up += size

        def down(size: int) -> None:
            traffic.down += size
            self.total.down += size

        flows = Flow(device, target, self._up, up), Flow(target, device, self._down, down)
        async with asyncio.TaskGroup() as group:
            for flow in flows:
                group.create_task(flow.take())
                group.create_task(flow.give())

    async def _reset_all(self) -> None:
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _rate(rate: Rate | str | None) -> Rate:
    return UNLIMITED if rate is None else Rate.parse(rate) if isinstance(rate, str) else rate


def describe(link: Link) -> str:
    """One line: where it listens, its shape, and what it has carried."""
    return (
        f"overtone link {link.address} -> {link.target[0]}:{link.target[1]}, {link.up} up, {link.down} down, "
        f"{link.rtt * 1e3:g} ms: {link.total.up:,} bytes up, {link.total.down:,} bytes down, {link.open} open"
    )


@contextlib.asynccontextmanager
async def _stopped_by_signals() -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _watch(link: Link, console: Console) -> None:
    async with _stopped_by_signals() as stop, link:
        print(describe(link), flush=True)
        with Live("", console=console, transient=True) as live:
            while not stop.is_set():
                live.update(describe(link))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 0.25)
        print(describe(link), flush=True)


def run(
    to: str,
    *,
    rate: str | None = None,
    up: str | None = None,
    down: str | None = None,
    rtt: str = "0ms",
    listen: str = "127.0.0.1:0",
) -> int:
    """The command `overtone link`: relay until interrupted, with a live line of counters.

    Args:
        to: the target, HOST:PORT.
        rate: of both directions, unless `up` or `down` says otherwise.
        up: rate from those who connect to the target.
        down: rate back.
        rtt: round trip.
        listen: HOST:PORT to listen on.

    Returns:
        The exit code.
    """
    console = Console(stderr=True)
    try:
        link = Link(to, up=up or rate, down=down or rate, rtt=rtt, listen=listen)
        asyncio.run(_watch(link, console))
    except (UnitError, OSError) as error:
        console.print(f"overtone link: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        return 1
    return 0
