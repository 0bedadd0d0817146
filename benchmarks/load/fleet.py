"""Simulated devices, each with a link of its own, in one event loop: what locust and the sweep both drive."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from overtone.benchmarks.link.link import Link
from overtone.benchmarks.load.ready import Parcel, Shot
from overtone.benchmarks.load.talk import Talk, Wish, talk
from overtone.edge_client import OvertoneError, Unavailable

# So that a thousand devices do not shake hands in the same moment.
AT_A_TIME = 16
# After a failure, so that a server that is away is not hammered.
BREATHER = 0.5
# After so many pictures in a row that nobody answered, all over the fleet, the server is gone.
GONE = 5


class Device:
    """A device behind its own link to `target`, "host:port"; use `connected`."""

    def __init__(self, voice: Talk, link: Link, target: str) -> None:
        self._voice = voice
        self._target = target
        self.link = link
        self._counted = link.total.up, link.total.down
        self.setup = self._counted

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, wish: Wish, target: str, link: str) -> AsyncIterator[Self]:
        """A device that has its connection, over the link profile of that name.

        Raises:
            OvertoneError: it could not connect.
            ValueError: there is no such link.
        """
        async with Link(target, profile=link) as way:
            with _server_named(way.address, target):
                async with talk(wish, way.address) as voice:
                    yield cls(voice, way, target)

    async def send(self, parcel: Parcel) -> Shot:
        """One picture.

        Raises:
            OvertoneError: there is no answer.
        """
        start = time.perf_counter()
        with _server_named(self.link.address, self._target):
            reply = await self._voice.ask(parcel)
        latency = 1e3 * (time.perf_counter() - start)
        up, down = self._spent()
        return Shot(
            latency_ms=latency,
            encode_ms=parcel.encode_ms,
            stage=reply.stage,
            right=None if parcel.truth is None else reply.index == parcel.truth,
            payload=reply.payload,
            high=reply.high,
            up=up,
            down=down,
            queue_ms=reply.queue_ms,
            compute_ms=reply.compute_ms,
        )

    def _spent(self) -> tuple[int, int]:
        before, self._counted = self._counted, (self.link.total.up, self.link.total.down)
        return self._counted[0] - before[0], self._counted[1] - before[1]


@contextlib.contextmanager
def _server_named(link: str, target: str) -> Iterator[None]:
    """Errors name the server, and not the link in front of it, which each device has another of."""
    try:
        yield
    except OvertoneError as error:
        error.args = (str(error).replace(link, target),)
        raise


@dataclass(frozen=True)
class Order:
    """What a fleet shall do.

    Attributes:
        wish: what each device is and wants.
        link: name of the profile of each device's own link.
        devices: how many.
        warmup: pictures each of them sends before anything is counted: policies learn, caches fill.
        per_second: how many pictures a device sends in a second; 0 is the next as soon as one is answered.
    """

    wish: Wish
    link: str
    devices: int = 1
    warmup: int = 0
    per_second: float = 0.0


@dataclass(frozen=True)
class Harvest:
    """What came of an order.

    Attributes:
        shots: the answered pictures, in the order of their answers.
        errors: what was said of the others.
        seconds: from the first counted picture to the last answer.
        setup_up, setup_down: bytes of link a device needed to connect, mean.
        busy: CPU seconds of this process a second, as a share of one core.
    """

    shots: list[Shot]
    errors: list[str]
    seconds: float
    setup_up: float
    setup_down: float
    busy: float


async def harvest(
    order: Order, target: str, parcels: Sequence[Parcel], count: int, done: Callable[[], None] = lambda: None
) -> Harvest:
    """Connect a fleet to `target`, warm it up, and let it share `count` pictures among its devices.

    Args:
        order: what to do.
        target: "host:port" of the server's face for these devices.
        parcels: taken in turn, from the first on whenever they are used up.
        count: pictures in all, without those of the warm-up.
        done: called after each counted picture.

    Raises:
        OvertoneError: a device could not connect, or the server has gone.
        ValueError: there is no such link.
    """
    fleet = _Fleet(order, target, parcels, count, done)
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(order.devices):
                group.create_task(fleet.live(number))
    except* (OvertoneError, OSError, ValueError) as errors:
        raise errors.exceptions[0] from None
    return fleet.result()


class _Fleet:
    """What the devices of one order share."""

    def __init__(
        self, order: Order, target: str, parcels: Sequence[Parcel], count: int, done: Callable[[], None]
    ) -> None:
        self._order, self._target, self._parcels, self._done = order, target, parcels, done
        self._left = iter(range(count))
        self._shots: list[Shot] = []
        self._errors: list[str] = []
        self._setups: list[tuple[int, int]] = []
        self._unheard = 0
        self._turns = asyncio.Semaphore(AT_A_TIME)
        self._line = asyncio.Barrier(order.devices)
        self._begin: tuple[float, float] = (0.0, 0.0)
        self._end: tuple[float, float] = (0.0, 0.0)

    async def live(self, number: int) -> None:
        """One device, from its connection to the last picture."""
        order = self._order
        async with contextlib.AsyncExitStack() as stack:
            async with self._turns:
                device = await stack.enter_async_context(
                    Device.connected(order.wish, self._target, order.link)
                )
            self._setups.append(device.setup)
            for i in range(order.warmup):
                # From the end: what is warmed up with comes last when it counts.
                with contextlib.suppress(OvertoneError):
                    await device.send(self._parcels[-1 - (number * order.warmup + i) % len(self._parcels)])
            if await self._line.wait() == 0:
                self._begin = time.perf_counter(), time.process_time()
            await self._work(device, number)
            if await self._line.wait() == 0:
                self._end = time.perf_counter(), time.process_time()

    async def _work(self, device: Device, number: int) -> None:
        loop, pause = asyncio.get_running_loop(), 1 / self._order.per_second if self._order.per_second else 0
        # Devices are not in step with each other.
        due = loop.time() + pause * number / self._order.devices
        for i in self._left:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due, loop.time()) + pause
            try:
                self._shots.append(await device.send(self._parcels[i % len(self._parcels)]))
                self._unheard = 0
            except OvertoneError as error:
                self._errors.append(str(error))
                self._unheard = self._unheard + 1 if isinstance(error, Unavailable) else 0
                if self._unheard >= GONE:
                    raise
                await asyncio.sleep(BREATHER)
            self._done()

    def result(self) -> Harvest:
        """All of it."""
        seconds, cpu = (after - before for after, before in zip(self._end, self._begin, strict=True))
        up, down = (sum(way) / len(self._setups) for way in zip(*self._setups, strict=True))
        return Harvest(self._shots, self._errors, seconds, up, down, cpu / seconds if seconds else 0.0)
