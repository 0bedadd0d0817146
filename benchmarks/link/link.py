"""A thin link: a TCP relay with a rate and a delay in each direction, counting the bytes it carries.

All connections share it, as all programs on a device share its modem: a first-in first-out queue for each
direction, drained at the direction's rate, then half a round trip on the way. With `per_connection` each has
a modem of its own, as if it were a device of its own. Queues are short and nothing is read ahead of them, so
a sender feels the link as back pressure. TCP payload is counted. The rate is of bytes on the air, headers
and acknowledgements with them, which are estimated: see `benchmarks.link.air`, and `benchmarks.link.kernel`
for how near that comes to the real thing.
"""

import asyncio
import contextlib
import errno
import socket
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

from overtone.benchmarks.link.air import HEADER, SYN, Traffic
from overtone.benchmarks.link.flow import Flow
from overtone.benchmarks.link.lane import Clock, Lane
from overtone.benchmarks.link.profiles import LinkProfile, link_profile
from overtone.benchmarks.link.rate import Rate
from overtone.benchmarks.link.sockets import bind, connect, endpoint, make_room, reset
from overtone.benchmarks.link.trace import Side, Trace
from overtone.benchmarks.link.weather import Luck, Outage

REMEMBERED = 10_000


class Link:
    """A relay from its own port to `target`; use as ``async with Link("host:50051", up="1mbit") as link``.

    Args:
        target: where to connect to, "host:port".
        profile: a `LinkProfile` or the name of one; unlimited if not given. What follows overrides it.
        up: rate from the device to the target, a `Rate` or text such as "300kbit".
        down: rate back to the device.
        rtt: round trip, in seconds or as "50ms"; a new connection waits for one, as a TCP handshake does.
        jitter: the round trip varies by at most so much either way; segments still arrive in order.
        loss: share of segments lost and sent again, 0.01 or "1%": the connection stalls as TCP would.
        outage: when the link goes away, an `Outage` or as "30s+2s".
        trace: rates (and perhaps round trips) as they were recorded, a `Trace` or its file; instead of up
            and down.
        per_connection: a modem for each connection instead of one that all share.
        seed: the same seed gives the n-th connection the same luck.
        connections: how many are to be open at once; refused at once if the system has not so many files.
        listen: where devices connect; port 0 takes a free one, see `address`.

    Attributes:
        up: rate from the device, of a trace the mean one; `down` likewise.
        rtt: round trip in seconds, of a trace the longest.
        total: what all connections carried, and `connections` what the latest carried each.
        refused: how often there was no file left for a connection.

    Raises:
        UnitError: a rate, duration or address that cannot be read.
        OSError: no such trace; on entering, an address that cannot be listened on, or too few files.
    """

    def __init__(
        self,
        target: str,
        *,
        profile: LinkProfile | str = "unlimited",
        up: Rate | str | None = None,
        down: Rate | str | None = None,
        rtt: float | str | None = None,
        jitter: float | str | None = None,
        loss: float | str | None = None,
        outage: Outage | str | None = None,
        trace: Trace | Path | str | None = None,
        per_connection: bool = False,
        seed: int | None = None,
        connections: int = 0,
        listen: str = "127.0.0.1:0",
    ) -> None:
        self.target = endpoint(target)
        named = link_profile(profile) if isinstance(profile, str) else profile
        self.profile = named.changed(up=up, down=down, rtt=rtt, jitter=jitter, loss=loss)
        self.up, self.down, self.rtt = self.profile.up, self.profile.down, self.profile.rtt
        self.outage = Outage.parse(outage) if isinstance(outage, str) else outage
        self.trace = trace if trace is None or isinstance(trace, Trace) else Trace.read(trace)
        if self.trace:
            self.up, self.down = self.trace.mean("up"), self.trace.mean("down")
            self.rtt = max(self.trace.longest_rtt, self.rtt)
        self.per_connection = per_connection
        self.total = Traffic()
        self.connections: deque[Traffic] = deque(maxlen=REMEMBERED)
        self.refused = 0
        self._seed = seed
        self._expected = connections
        self._accepted = 0
        self._listen = endpoint(listen)
        self._open: dict[asyncio.Task[None], socket.socket] = {}
        self._broken = False

    async def __aenter__(self) -> Self:
        make_room(self._expected)
        self._clock = Clock()
        self._start = self._clock.time()
        self._up, self._down = self._modem()
        self._listener = await bind(self._listen)
        self._running = [asyncio.create_task(self._accept())]
        if self.outage:
            self._running.append(asyncio.create_task(self._come_and_go(self.outage)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.wait(self._running)
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

    @property
    def late(self) -> float:
        """The most seconds by which anything was late because this machine was busy."""
        return self._clock.late

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

    def _modem(self) -> tuple[Lane, Lane]:
        """Both directions of one, up and down."""
        if self.trace is None:
            return Lane(self.up, self.rtt / 2, self._clock), Lane(self.down, self.rtt / 2, self._clock)
        return self._recorded(self.trace, "up"), self._recorded(self.trace, "down")

    def _recorded(self, trace: Trace, side: Side) -> Lane:
        course = trace.course(side, self._start)
        return Lane(trace.mean(side), self.rtt / 2, self._clock, pace=course, late=self._later)

    def _rtt(self, moment: float) -> float:
        recorded = self.trace.rtt(moment - self._start) if self.trace else None
        return self.profile.rtt if recorded is None else recorded

    def _later(self, moment: float) -> float:
        """Than half of the longest round trip: seconds, below zero."""
        return (self._rtt(moment) - self.rtt) / 2

    async def _come_and_go(self, outage: Outage) -> None:
        """Cut and restore by the loop's time, because the link's own stands still in between."""
        loop = asyncio.get_running_loop()
        next_time = loop.time()
        while True:
            next_time += outage.service
            await asyncio.sleep(next_time - loop.time())
            await self.cut(reset=outage.reset)
            next_time += outage.length
            await asyncio.sleep(next_time - loop.time())
            self.restore()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                device, address = await loop.sock_accept(self._listener)
            except OSError as error:  # the peer left before we came, or no descriptor is free just now
                self.refused += error.errno in (errno.EMFILE, errno.ENFILE)
                await asyncio.sleep(0.05)
                continue
            device.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._broken:
                reset(device)
                continue
            peer = f"{address[0]}:{address[1]}"
            task = asyncio.create_task(self._carry(device, Traffic(peer), self._luck()))
            self._open[task] = device
            task.add_done_callback(self._open.pop)

    def _luck(self) -> tuple[Luck, Luck]:
        """Of the next connection, up and down."""
        shape = self.profile
        self._accepted += 1
        seeds = (None if self._seed is None else f"{self._seed} {self._accepted} {s}" for s in ("up", "down"))
        up, down = (Luck(shape.jitter, shape.loss, seed) for seed in seeds)
        return up, down

    async def _carry(self, device: socket.socket, traffic: Traffic, luck: tuple[Luck, Luck]) -> None:
        self.connections.append(traffic)
        with contextlib.ExitStack() as stack:
            stack.callback(reset, device)
            try:
                lanes = self._modem() if self.per_connection else (self._up, self._down)
                rtt = await self._shake_hands(lanes, traffic, luck[0])
                target = await connect(self.target)
                stack.callback(reset, target)
                counts = (traffic.upwards, self.total.upwards), (traffic.downwards, self.total.downwards)
                await self._exchange(
                    Flow(device, target, lanes[0], counts[0], luck[0], rtt),
                    Flow(target, device, lanes[1], counts[1], luck[1], rtt),
                )
                device.close()
                target.close()
            except* OSError as errors:
                # A reset, on either side, or no target: passed on as a reset.
                self.refused += errors.subgroup(_no_files) is not None

    async def _shake_hands(self, lanes: tuple[Lane, Lane], traffic: Traffic, luck: Luck) -> float:
        """What a device sends, and waits for, before it can say anything; the round trip it measures."""
        wait, lost = luck.handshake()
        for each in (traffic, self.total):
            each.upwards.air += SYN * (1 + lost) + HEADER
            each.upwards.again += lost
            each.downwards.air += SYN
        await self._clock.until(self._clock.time() + wait)
        syn = lanes[0].push(SYN * (1 + lost))
        await self._clock.until(syn.across)
        await self._clock.until(lanes[1].push(SYN).across)
        lanes[0].push(HEADER)
        return self._clock.time() - syn.entered

    async def _exchange(self, up: Flow, down: Flow) -> None:
        up.answering, down.answering = down, up
        async with asyncio.TaskGroup() as group:
            for flow in (up, down):
                group.create_task(flow.take())
                group.create_task(flow.give())

    async def _reset_all(self) -> None:
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _no_files(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
