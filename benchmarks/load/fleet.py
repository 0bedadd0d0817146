"""Simulated devices in one event loop, each behind a link of its own; driven by locust and by sweeps."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from overtone.benchmarks.load.clients import DeviceConfig, LoadClient, open_client
from overtone.benchmarks.load.prepared import PreparedImage, Sample
from overtone.edge_client import OvertoneError, Unavailable
from overtone.link import Link

# So that a thousand devices do not connect in the same moment.
CONNECTING_AT_ONCE = 16
# Seconds after a failure, so that a server that is away is not flooded.
PAUSE = 0.5
# After so many consecutive images of the whole fleet without an answer, the server counts as gone.
GONE = 5


class Device:
    """A device behind its own link to `target`, "host:port"; use `connected`."""

    def __init__(self, client: LoadClient, link: Link, target: str) -> None:
        self._client = client
        self._target = target
        self._link = link
        self._counted = self._count()
        self.setup = self._counted[:2]

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, config: DeviceConfig, target: str, profile: str) -> AsyncIterator[Self]:
        """A connected device, over the link profile of that name.

        Raises:
            OvertoneError: it could not connect.
            ValueError: there is no such profile.
        """
        async with Link(target, profile=profile) as link:
            with _naming_the_server(link.address, target):
                async with open_client(config, link.address) as client:
                    yield cls(client, link, target)

    async def send(self, image: PreparedImage) -> Sample:
        """Send one image and measure it.

        Raises:
            OvertoneError: there is no answer.
        """
        start = time.perf_counter()
        with _naming_the_server(self._link.address, self._target):
            reply = await self._client.send(image)
        latency = 1e3 * (time.perf_counter() - start)
        before, self._counted = self._counted, self._count()
        up, down, wire_up, wire_down = (now - then for now, then in zip(self._counted, before, strict=True))
        return Sample(
            latency_ms=latency,
            encode_ms=image.encode_ms,
            stage=reply.stage,
            layers=reply.layers,
            correct=None if image.truth is None else reply.index == image.truth,
            payload=reply.payload,
            by_layer=reply.by_layer,
            up=up,
            down=down,
            queue_ms=reply.queue_ms,
            compute_ms=reply.compute_ms,
            wire_up=wire_up,
            wire_down=wire_down,
        )

    def _count(self) -> tuple[int, int, int, int]:
        """Bytes that the link has carried: TCP payload up and down, then on the wire up and down."""
        total = self._link.total
        return total.up, total.down, total.upwards.wire, total.downwards.wire


@contextlib.contextmanager
def _naming_the_server(link: str, target: str) -> Iterator[None]:
    """Put the server's address into errors, in place of the address of the link in front of it."""
    try:
        yield
    except OvertoneError as error:
        error.args = (str(error).replace(link, target),)
        raise


@dataclass(frozen=True)
class FleetConfig:
    """A fleet of equal devices and its load.

    Attributes:
        link: name of the profile of each device's own link.
        warmup: images each device sends before anything is counted: policies learn, caches fill.
        per_second: images a device sends per second; 0 sends the next as soon as one is answered.
    """

    device: DeviceConfig
    link: str
    devices: int = 1
    warmup: int = 0
    per_second: float = 0.0


@dataclass(frozen=True)
class FleetResult:
    """The measurement of a fleet: samples of the answered images, in order, and the errors of the others.

    Attributes:
        seconds: from the first counted image to the last answer.
        setup_up, setup_down: bytes of link a device needed to connect, mean.
        busy: CPU seconds of this process per second, as a share of one core.
    """

    samples: list[Sample]
    errors: list[str]
    seconds: float
    setup_up: float
    setup_down: float
    busy: float


async def run_fleet(
    config: FleetConfig,
    target: str,
    images: Sequence[PreparedImage],
    count: int,
    done: Callable[[], None] = lambda: None,
) -> FleetResult:
    """Connect a fleet to `target` ("host:port"), warm it up, and let its devices share `count` images.

    The images are sent in turn, from the first again when all have been sent; `done` is called after each.

    Raises:
        OvertoneError: a device could not connect, or the server has gone.
        ValueError: there is no such link profile.
    """
    fleet = _Fleet(config, target, images, count, done)
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(config.devices):
                group.create_task(fleet.run_device(number))
    except* (OvertoneError, OSError, ValueError) as errors:
        raise errors.exceptions[0] from None
    return fleet.result()


class _Fleet:
    """The state that the devices of one fleet share."""

    def __init__(
        self,
        config: FleetConfig,
        target: str,
        images: Sequence[PreparedImage],
        count: int,
        done: Callable[[], None],
    ) -> None:
        self._config, self._target, self._images, self._done = config, target, images, done
        self._left = iter(range(count))
        self._samples: list[Sample] = []
        self._errors: list[str] = []
        self._setups: list[tuple[int, int]] = []
        self._unanswered = 0
        self._connecting = asyncio.Semaphore(CONNECTING_AT_ONCE)
        self._barrier = asyncio.Barrier(config.devices)
        self._begin = self._end = (0.0, 0.0)

    async def run_device(self, number: int) -> None:
        """One device, from its connection to the last image."""
        config = self._config
        async with contextlib.AsyncExitStack() as stack:
            async with self._connecting:
                connected = Device.connected(config.device, self._target, config.link)
                device = await stack.enter_async_context(connected)
            self._setups.append(device.setup)
            for i in range(config.warmup):
                # From the end, so that these images are counted last.
                with contextlib.suppress(OvertoneError):
                    await device.send(self._images[-1 - (number * config.warmup + i) % len(self._images)])
            if await self._barrier.wait() == 0:
                self._begin = time.perf_counter(), time.process_time()
            await self._send_all(device, number)
            if await self._barrier.wait() == 0:
                self._end = time.perf_counter(), time.process_time()

    async def _send_all(self, device: Device, number: int) -> None:
        loop, config = asyncio.get_running_loop(), self._config
        pause = 1 / config.per_second if config.per_second else 0
        # Devices begin at different times within a period.
        due = loop.time() + pause * number / config.devices
        for i in self._left:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due, loop.time()) + pause
            try:
                self._samples.append(await device.send(self._images[i % len(self._images)]))
                self._unanswered = 0
            except OvertoneError as error:
                self._errors.append(str(error))
                self._unanswered = self._unanswered + 1 if isinstance(error, Unavailable) else 0
                if self._unanswered >= GONE:
                    raise
                await asyncio.sleep(PAUSE)
            self._done()

    def result(self) -> FleetResult:
        """Everything measured so far."""
        seconds, cpu = (after - before for after, before in zip(self._end, self._begin, strict=True))
        up, down = (sum(way) / len(self._setups) for way in zip(*self._setups, strict=True))
        return FleetResult(self._samples, self._errors, seconds, up, down, cpu / seconds if seconds else 0.0)
