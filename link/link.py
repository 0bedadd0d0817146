"""A thin link: a TCP relay with a rate and a delay in each direction, counting the bytes it carries.

All connections share it, as all programs of a device share its modem: each direction is a first-in first-out
queue, drained at the direction's rate, followed by half a round trip of delay. With `per_connection` each
connection has a modem of its own, as if it were a separate device. Queues are short and nothing is read ahead
of them, so a sender feels the link as back pressure. TCP payload is counted. The rate applies to bytes on the
wire, headers and acknowledgements included, which are estimated: see `overtone.link.tcp_overhead`.
"""

import asyncio
import contextlib
import errno
import socket
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

from overtone.link.flow import Flow
from overtone.link.impairments import Jitter, Outage
from overtone.link.profiles import LinkProfile, link_profile
from overtone.link.rate import Rate
from overtone.link.shaper import Clock, Shaper
from overtone.link.sockets import bind, connect, endpoint, raise_file_limit, reset
from overtone.link.tcp_overhead import HEADER, SYN, Traffic
from overtone.link.trace import Side, Trace

REMEMBERED = 10_000


class Link:
    """A relay from its own port to `target`; use as ``async with Link("host:50051", up="1mbit") as link``.

    Args:
        target: where to connect to, "host:port".
        profile: a `LinkProfile` or the name of one; `up`, `down`, `rtt` (in seconds or as "50ms") and `jitter`
            override it. A new connection waits for a round trip, as for a TCP handshake.
        outage: when the link goes away, an `Outage` or text such as "30s+2s".
        trace: recorded rates (and round trips), a `Trace` or its file; used instead of up and down.
        per_connection: a modem for each connection instead of one that all share.
        seed: the same seed gives the n-th connection the same jitter.
        connections: how many are to be open at once; checked against the system's limit on open files.
        listen: where devices connect; port 0 takes a free one, see `address`.

    Attributes:
        up, down, rtt: in effect; with a trace, its mean rates and its longest round trip.
        total: what all connections carried, and `connections` what each of the latest carried.
        refused: how often a connection failed because no file descriptor was left.
        upstream, downstream: the shared modem's direction to the target, and the one back.

    Raises:
        UnitError: a rate, duration or address that cannot be read.
        OSError: no such trace; on entering, an address that cannot be listened on, or too few files.
    """

    upstream: Shaper
    downstream: Shaper

    def __init__(
        self,
        target: str,
        *,
        profile: LinkProfile | str = "unlimited",
        up: Rate | str | None = None,
        down: Rate | str | None = None,
        rtt: float | str | None = None,
        jitter: float | str | None = None,
        outage: Outage | str | None = None,
        trace: Trace | Path | str | None = None,
        per_connection: bool = False,
        seed: int | None = None,
        connections: int = 0,
        listen: str = "127.0.0.1:0",
    ) -> None:
        self.target = endpoint(target)
        named = link_profile(profile) if isinstance(profile, str) else profile
        self.profile = named.changed(up, down, rtt, jitter)
        self.up, self.down, self.rtt = self.profile.up, self.profile.down, self.profile.rtt
        self.outage = Outage.parse(outage) if isinstance(outage, str) else outage
        self.trace = trace if trace is None or isinstance(trace, Trace) else Trace.read(trace)
        if self.trace:
            self.up, self.down = self.trace.schedule("up", 0.0).mean, self.trace.schedule("down", 0.0).mean
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
        raise_file_limit(self._expected)
        self._clock = Clock()
        self._start = self._clock.time()
        self.upstream, self.downstream = self._modem()
        self._listener = await bind(self._listen)
        self._running = [asyncio.create_task(self._accept())]
        if self.outage:
            self._running.append(asyncio.create_task(self._alternate(self.outage)))
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
        """The number of connections that are open now."""
        return len(self._open)

    @property
    def late(self) -> float:
        """The largest delay in seconds of any event because this machine was busy."""
        return self._clock.late

    async def settled(self, calm: float) -> tuple[int, int]:
        """Payload bytes up and down so far, once none have been delivered for `calm` seconds."""
        while True:
            before = self.total.up, self.total.down
            await asyncio.sleep(calm)
            if (self.total.up, self.total.down) == before:
                return before

    async def cut(self, *, reset: bool = True) -> None:
        """Begin an outage: reset all connections, and new ones as they come; or only let nothing move."""
        if reset:
            self._broken = True
            await self._reset_all()
        else:
            self._clock.stop()

    def restore(self) -> None:
        """End the outage; what was frozen continues where it stood."""
        self._broken = False
        self._clock.resume()

    def _modem(self) -> tuple[Shaper, Shaper]:
        """Both directions of a new modem, up and down."""
        if self.trace is None:
            return Shaper(self.up, self.rtt / 2, self._clock), Shaper(self.down, self.rtt / 2, self._clock)
        return self._recorded(self.trace, "up"), self._recorded(self.trace, "down")

    def _recorded(self, trace: Trace, side: Side) -> Shaper:
        schedule = trace.schedule(side, self._start)

        def extra_delay(moment: float) -> float:
            """At most 0: the shaper's delay is half of the longest round trip."""
            recorded = trace.rtt(moment - self._start)
            return ((self.profile.rtt if recorded is None else recorded) - self.rtt) / 2

        return Shaper(schedule.mean, self.rtt / 2, self._clock, schedule, extra_delay)

    async def _alternate(self, outage: Outage) -> None:
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
            except OSError as error:  # the peer has left already, or no descriptor is free just now
                self.refused += error.errno in (errno.EMFILE, errno.ENFILE)
                await asyncio.sleep(0.05)
                continue
            device.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._broken:
                reset(device)
                continue
            self._accepted += 1
            traffic = Traffic(f"{address[0]}:{address[1]}")
            task = asyncio.create_task(self._carry(device, traffic, self._accepted))
            self._open[task] = device
            task.add_done_callback(self._open.pop)

    async def _carry(self, device: socket.socket, traffic: Traffic, number: int) -> None:
        self.connections.append(traffic)
        with contextlib.ExitStack() as stack:
            stack.callback(reset, device)
            try:
                modem = self._modem() if self.per_connection else (self.upstream, self.downstream)
                await self._shake_hands(modem, traffic)
                target = await connect(self.target)
                stack.callback(reset, target)
                counts = (traffic.upwards, self.total.upwards), (traffic.downwards, self.total.downwards)
                await self._exchange(
                    Flow(device, target, modem[0], counts[0], self._jitter(number, "up")),
                    Flow(target, device, modem[1], counts[1], self._jitter(number, "down")),
                )
                device.close()
                target.close()
            except* OSError as errors:
                # A reset by either side, or no target: passed on as a reset.
                self.refused += errors.subgroup(_is_out_of_files) is not None

    def _jitter(self, connection: int, side: Side) -> Jitter:
        seed = None if self._seed is None else f"{self._seed} {connection} {side}"
        return Jitter(self.profile.jitter, seed)

    async def _shake_hands(self, modem: tuple[Shaper, Shaper], traffic: Traffic) -> None:
        """Carry SYN, SYN+ACK and ACK, before the device can send anything else."""
        up, down = modem
        for each in (traffic, self.total):
            each.upwards.wire += SYN + HEADER
            each.downwards.wire += SYN
        await self._clock.until(up.push(SYN).arrives)
        await self._clock.until(down.push(SYN).arrives)
        up.push(HEADER)

    async def _exchange(self, up: Flow, down: Flow) -> None:
        up.reverse, down.reverse = down, up
        async with asyncio.TaskGroup() as group:
            for flow in (up, down):
                group.create_task(flow.send())
                group.create_task(flow.deliver())

    async def _reset_all(self) -> None:
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _is_out_of_files(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
