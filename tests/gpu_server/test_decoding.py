"""Payloads and images are decoded apart, and whatever a device does, little of it is held."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from functools import partial

import pytest

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.engine.batcher import Batcher
from overtone.gpu_server.engine.engine import DecodedImage, Engine, Inference, Source
from overtone.gpu_server.errors import Overloaded, Stopping
from overtone.gpu_server.telemetry.metrics import Metrics
from tests.gpu_server.conftest import Clock
from tests.gpu_server.fakes import FakeNetwork, decoded_image, limits
from tests.gpu_server.test_engine import shed, soon
from tests.waiting import until

THREADS = 2
LIMIT = 8


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


@pytest.fixture
async def engine(clock: Clock, metrics: Metrics, gate: threading.Event) -> AsyncIterator[Engine]:
    settings = limits(low_queue=LIMIT, decoders=THREADS, image_decoders=1, image_queue=3, brownout=5.0)
    engine = Engine(Batcher([FakeNetwork()], metrics, settings, clock=clock), metrics, settings, clock=clock)
    await engine.start()
    yield engine
    gate.set()
    await engine.stop()


def decode(gate: threading.Event, entered: threading.Event | None = None) -> DecodedImage:
    """A decode that takes until the gate opens."""
    if entered is not None:
        entered.set()
    assert gate.wait(30)
    return decoded_image()


async def begin(
    engine: Engine, gate: threading.Event, source: Source, count: int
) -> list[asyncio.Task[Inference]]:
    """Images that are being decoded, or wait for it, until the gate opens."""
    work = [engine.submit(Stage.LOW, partial(decode, gate), soon(), source) for _ in range(count)]
    tasks = [asyncio.create_task(each) for each in work]
    await asyncio.sleep(0)
    return tasks


async def test_large_images_hold_up_no_payload(engine: Engine, gate: threading.Event) -> None:
    images = await begin(engine, gate, Source.IMAGE, 3)
    await engine.submit(Stage.LOW, decoded_image, soon())
    assert not any(image.done() for image in images)
    gate.set()
    await asyncio.gather(*images)


async def test_few_images_wait_to_be_decoded(engine: Engine, metrics: Metrics, gate: threading.Event) -> None:
    images = await begin(engine, gate, Source.IMAGE, 3)
    with pytest.raises(Overloaded):
        await engine.submit(Stage.LOW, decoded_image, soon(), Source.IMAGE)
    assert shed(metrics, Stage.LOW, "full") == 1
    gate.set()
    await asyncio.gather(*images)


async def test_backlog_counts_decoding_at_the_speed_measured(
    engine: Engine, clock: Clock, gate: threading.Event
) -> None:
    def slow(seconds: float) -> DecodedImage:
        clock.now += seconds
        return decoded_image()

    await engine.submit(Stage.LOW, partial(slow, 4.0), soon())
    await engine.submit(Stage.LOW, partial(slow, 10.0), soon(), Source.IMAGE)
    assert not engine.overloaded
    images = await begin(engine, gate, Source.IMAGE, 3)
    assert engine.backlog(Source.IMAGE) == 3 * 10
    assert not engine.overloaded  # payloads do not wait for images
    payloads = await begin(engine, gate, Source.PAYLOAD, 3)
    assert engine.backlog(Source.PAYLOAD) == 3 * 4 / THREADS
    assert engine.overloaded
    gate.set()
    await asyncio.gather(*images, *payloads)


class Payload:
    """Stands for bytes, which cannot be referred to weakly."""


async def test_what_is_cancelled_is_not_held(engine: Engine, gate: threading.Event) -> None:
    def decode_payload(payload: Payload) -> DecodedImage:
        return decode(gate)

    payloads: list[weakref.ref[Payload]] = []
    for _ in range(100):
        payload = Payload()
        payloads.append(weakref.ref(payload))
        work = engine.submit(Stage.LOW, partial(decode_payload, payload), soon())
        del payload
        task = asyncio.create_task(work)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        del work, task
    gc.collect()
    assert sum(payload() is not None for payload in payloads) <= LIMIT


async def test_a_cancelled_decode_keeps_its_place_until_its_thread_is_done(
    engine: Engine, gate: threading.Event
) -> None:
    entered = threading.Event()
    running = asyncio.create_task(
        engine.submit(Stage.LOW, partial(decode, gate, entered), soon(), Source.IMAGE)
    )
    await until(entered.is_set)
    waiting = await begin(engine, gate, Source.IMAGE, 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    with pytest.raises(Overloaded):
        await engine.submit(Stage.LOW, decoded_image, soon(), Source.IMAGE)
    gate.set()
    await asyncio.gather(*waiting)
    await engine.submit(Stage.LOW, decoded_image, soon(), Source.IMAGE)


async def test_what_waits_for_a_decoder_when_the_engine_stops_is_told(
    engine: Engine, gate: threading.Event
) -> None:
    images = await begin(engine, gate, Source.IMAGE, 3)
    stopping = asyncio.create_task(engine.stop())
    await asyncio.sleep(0.01)
    gate.set()
    await stopping
    assert [type(error) for error in await asyncio.gather(*images, return_exceptions=True)] == [Stopping] * 3
