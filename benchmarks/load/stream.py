"""A stream that fills its link: one device with many images in flight, for as long as it can be sustained."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from overtone.benchmarks.load.clients import DeviceConfig
from overtone.benchmarks.load.fleet import GONE, PAUSE, Device, FleetResult
from overtone.benchmarks.load.prepared import PreparedImage, Sample
from overtone.edge_client import OvertoneError, Unavailable


@dataclass(frozen=True)
class StreamConfig:
    """One device, and how many images it keeps in flight.

    On a session they share one stream, at most as many as the server gives credits for. Over HTTP each is a request of
    its own on a kept-alive connection of its own; Overtone's client opens at most 8 of these.

    Attributes:
        link: name of the profile of the device's link.
        warmup: images answered before the pipe counts as full, beyond those that fill it.
    """

    device: DeviceConfig
    link: str
    in_flight: int
    warmup: int = 0


async def run_stream(
    config: StreamConfig,
    target: str,
    images: Sequence[PreparedImage],
    count: int,
    done: Callable[[], None] = lambda: None,
) -> FleetResult:
    """Keep a device's link to `target` ("host:port") full, and measure `count` answers in the middle.

    The images are sent in turn, from the first again when all have been sent. What is counted begins with the answer
    that completes the warm-up and a pipe of images, and ends while as many are still in flight: neither filling nor
    draining the pipe is part of it. `done` is called after each image that counts.

    Raises:
        OvertoneError: the device could not connect, or the server has gone.
        ValueError: there is no such link profile.
    """
    async with Device.connected(config.device, target, config.link) as device:
        stream = _Stream(config, device, images, count, done)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(config.in_flight):
                    group.create_task(stream.send())
        except* OvertoneError as errors:
            raise errors.exceptions[0] from None
    return stream.result()


class _Stream:
    """The state that the images in flight share."""

    def __init__(
        self,
        config: StreamConfig,
        device: Device,
        images: Sequence[PreparedImage],
        count: int,
        done: Callable[[], None],
    ) -> None:
        self._device, self._images, self._done = device, images, done
        self._filled = config.warmup + config.in_flight
        self._last = self._filled + count
        self._left = iter(range(self._last + config.in_flight))
        self._ended = self._unanswered = 0
        self._samples: list[Sample] = []
        self._errors: list[str] = []
        self._begin = self._end = (0.0, 0.0)

    async def send(self) -> None:
        """One image after the other; so many of these run at once as images are to be in flight."""
        for i in self._left:
            # The images that fill the pipe are the last ones, so that those that count begin with the first.
            image = self._images[(i - self._filled) % len(self._images)]
            try:
                sample = await self._device.send(image)
            except OvertoneError as error:
                self._count(str(error))
                self._unanswered = self._unanswered + 1 if isinstance(error, Unavailable) else 0
                if self._unanswered >= GONE:
                    raise
                await asyncio.sleep(PAUSE)
            else:
                self._unanswered = 0
                self._count(sample)

    def _count(self, outcome: Sample | str) -> None:
        """An image has been answered, or has failed."""
        self._ended += 1
        if self._ended <= self._filled:
            self._begin = self._end = time.perf_counter(), time.process_time()
        elif self._ended <= self._last:
            self._end = time.perf_counter(), time.process_time()
            if isinstance(outcome, Sample):
                self._samples.append(outcome)
            else:
                self._errors.append(outcome)
            self._done()

    def result(self) -> FleetResult:
        """The measurement of the images that count."""
        seconds, cpu = (after - before for after, before in zip(self._end, self._begin, strict=True))
        busy = cpu / seconds if seconds else 0.0
        return FleetResult(self._samples, self._errors, seconds, *self._device.setup, busy)
