import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.engine.batcher import Batcher
from overtone.gpu_server.engine.engine import DecodedImage, Engine, Inference
from overtone.gpu_server.errors import BadRequest, Expired, NetworkFailed, Overloaded, Unavailable
from overtone.gpu_server.telemetry.metrics import Metrics
from tests.gpu_server.conftest import value
from tests.gpu_server.fakes import FakeNetwork, decoded_image, limits
from tests.waiting import LATER, until, until_blocking


def soon() -> float:
    return asyncio.get_running_loop().time() + LATER


def shed(metrics: Metrics, stage: Stage, reason: str) -> float:
    return value(metrics, "overtone_shed_total", stage=stage, reason=reason)


@dataclass(frozen=True)
class Rig:
    """An engine that runs, its network, and its metrics."""

    engine: Engine
    network: FakeNetwork
    metrics: Metrics

    def submit(self, stage: Stage, mark: int = 0) -> asyncio.Task[Inference]:
        return asyncio.create_task(
            self.engine.submit(stage, partial(decoded_image, mark), soon(), source=None)
        )

    def depth(self, stage: Stage = Stage.LOW) -> float:
        return value(self.metrics, "overtone_queue_depth", stage=stage)

    async def busy(self) -> asyncio.Task[Inference]:
        """One image that is held inside the worker."""
        self.network.gate.clear()
        self.network.entered.clear()
        held = self.submit(Stage.LOW, 99)
        await until(self.network.entered.is_set)
        return held

    async def queued(self, *marks: int) -> list[asyncio.Task[Inference]]:
        """Images that wait for the low network."""
        tasks = [self.submit(Stage.LOW, mark) for mark in marks]
        await until(lambda: self.depth() == len(marks))
        return tasks


@asynccontextmanager
async def running(
    network: FakeNetwork | None = None,
    more: Sequence[FakeNetwork] = (),
    on_health: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
    **changes: float,
) -> AsyncIterator[Rig]:
    network, metrics = network or FakeNetwork(), Metrics()
    settings = limits(**changes)
    batcher = Batcher([network, *more], metrics, settings, on_health, clock)
    engine = Engine(batcher, metrics, settings, clock=clock)
    await engine.start()
    yield Rig(engine, network, metrics)
    network.gate.set()
    await engine.stop()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running(low_queue=6, high_queue=6, probe_interval=0.01) as rig:
        yield rig


async def test_gives_each_image_its_row(rig: Rig) -> None:
    assert rig.network.warmed
    inference = await rig.submit(Stage.LOW)
    assert inference.row.argmax() == 1
    assert inference.timings.compute > 0


async def test_high_runs_before_low_and_oldest_first(rig: Rig) -> None:
    held = await rig.busy()
    stages = (Stage.LOW, Stage.LOW, Stage.HIGH, Stage.HIGH)
    tasks = [rig.submit(stage, mark) for mark, stage in enumerate(stages)]
    await until(lambda: rig.depth() == rig.depth(Stage.HIGH) == 2)
    rig.network.gate.set()
    await asyncio.gather(held, *tasks)
    assert rig.network.batches[1:] == [(Stage.HIGH, [2, 3]), (Stage.LOW, [0, 1])]


async def test_batches_have_the_size_that_the_network_wants(rig: Rig) -> None:
    held = await rig.busy()
    tasks = await rig.queued(*range(6))
    rig.network.gate.set()
    await asyncio.gather(held, *tasks)
    assert [len(marks) for _, marks in rig.network.batches] == [1, 4, 2]


async def test_the_network_never_waits_for_the_event_loop(rig: Rig) -> None:
    held = await rig.busy()
    tasks = await rig.queued(*range(5))
    decoded = asyncio.create_task(rig.engine.submit(Stage.HIGH, partial(decoded_image, 7), soon()))
    await asyncio.sleep(0)
    rig.network.gate.set()
    # Nothing is awaited here, so the event loop stands still while all these are decoded and run.
    until_blocking(lambda: len(rig.network.batches) >= 4)
    await asyncio.gather(held, decoded, *tasks)
    assert sorted(mark for _, marks in rig.network.batches for mark in marks) == [0, 1, 2, 3, 4, 7, 99]


async def test_full_queue_refuses_at_once(rig: Rig) -> None:
    held = await rig.busy()
    tasks = await rig.queued(*range(6))
    with pytest.raises(Overloaded) as refused:
        await rig.submit(Stage.LOW)
    assert refused.value.retry_after
    assert shed(rig.metrics, Stage.LOW, "full") == 1
    high = rig.submit(Stage.HIGH)  # the other queue has room
    rig.network.gate.set()
    await asyncio.gather(held, high, *tasks)


class Slow(FakeNetwork):
    """Takes as long for every batch."""

    def run(self, stage: Stage, images: Sequence[DecodedImage]) -> NDArray[np.float32]:
        time.sleep(0.02)
        return super().run(stage, images)


async def test_what_an_overloaded_network_computes_comes_in_time() -> None:
    async with running(Slow(), low_queue=256) as rig:

        async def ask(mark: int) -> None:
            expires = asyncio.get_running_loop().time() + 0.2
            await rig.engine.submit(Stage.LOW, partial(decoded_image, mark), expires, source=None)

        tasks: list[asyncio.Task[None]] = []
        while len(rig.network.batches) < 50:
            tasks += [asyncio.create_task(ask(len(tasks))) for _ in range(12)]
            await asyncio.sleep(0.02)  # three times as many as it can do
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        computed = sum(len(marks) for _, marks in rig.network.batches)
        assert {type(outcome) for outcome in outcomes} <= {type(None), Overloaded, Expired}
        assert all(outcome.retry_after for outcome in outcomes if isinstance(outcome, Overloaded))
        assert outcomes.count(None) >= 0.8 * computed


async def test_expired_before_admission_is_not_even_prepared(rig: Rig) -> None:
    def never() -> DecodedImage:
        raise AssertionError

    with pytest.raises(Expired):
        await rig.engine.submit(Stage.LOW, never, asyncio.get_running_loop().time() - 1)
    assert not rig.network.batches


async def test_expired_in_the_queue_is_told_while_the_worker_is_busy(rig: Rig) -> None:
    held = await rig.busy()
    with pytest.raises(Expired):
        await rig.engine.submit(Stage.LOW, decoded_image, asyncio.get_running_loop().time() + 0.01)
    assert shed(rig.metrics, Stage.LOW, "expired") == 1
    assert rig.depth() == 0
    rig.network.gate.set()
    await held
    assert len(rig.network.batches) == 1


async def test_cancelled_is_not_computed(rig: Rig) -> None:
    held = await rig.busy()
    gone, stays = await rig.queued(1, 2)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert rig.depth() == 1
    rig.network.gate.set()
    await asyncio.gather(held, stays)
    assert rig.network.batches[1:] == [(Stage.LOW, [2])]


async def test_a_single_failure_is_of_its_batch_only(rig: Rig) -> None:
    held = await rig.busy()
    (later,) = await rig.queued(1)
    rig.network.failing = 1
    rig.network.gate.set()
    with pytest.raises(NetworkFailed):
        await held
    assert (await later).row.argmax() == 1
    assert rig.engine.failure is None


async def test_what_is_not_a_number_fails_its_image_only(rig: Rig) -> None:
    held = await rig.busy()
    good, bad = await rig.queued(1, 2)
    rig.network.not_numbers = {2}
    rig.network.gate.set()
    await asyncio.gather(held, good)
    with pytest.raises(NetworkFailed):
        await bad
    # An image that has a batch to itself is no reason to refuse others either.
    with pytest.raises(NetworkFailed):
        await rig.submit(Stage.LOW, 2)
    await rig.submit(Stage.LOW, 1)
    assert rig.engine.failure is None


async def test_while_the_network_fails_everything_is_refused_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    changes: list[bool] = []
    async with running(on_health=lambda: changes.append(True), probe_interval=0.01) as rig:
        held = await rig.busy()
        (waiting,) = await rig.queued(1)
        rig.network.failing = float("inf")
        rig.network.gate.set()
        with pytest.raises(NetworkFailed):
            await held
        for task in (waiting, rig.submit(Stage.LOW, 2), rig.submit(Stage.HIGH, 3)):
            with pytest.raises(Unavailable):
                await task
        assert rig.network.batches == [(Stage.LOW, [99])]
        assert rig.engine.failure == "the network fails (RuntimeError)"
        await asyncio.sleep(0.05)  # some probes more, which are not logged
        refusing = [r for r in caplog.records if r.levelno == logging.ERROR and "refused" in r.getMessage()]
        assert len(refusing) == 1

        rig.network.failing = 0
        await until(lambda: rig.engine.failure is None)
        assert (await rig.submit(Stage.LOW)).row.argmax() == 1
        assert len(changes) == 2


async def test_a_batching_loop_that_dies_is_started_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(waiting: int) -> int:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(rig.network, "batch_size", broken)
        with pytest.raises(Unavailable):
            await rig.submit(Stage.LOW)
        await until(lambda: rig.engine.failure == "the network fails (ZeroDivisionError)")
    await until(lambda: rig.engine.failure is None)
    assert (await rig.submit(Stage.LOW)).row.argmax() == 1


async def test_what_prepare_raises_comes_out(rig: Rig) -> None:
    def refuse() -> DecodedImage:
        raise BadRequest("no")

    with pytest.raises(BadRequest):
        await rig.engine.submit(Stage.LOW, refuse, soon())
    assert rig.depth() == 0


async def test_overload_is_backlog_above_the_limit() -> None:
    # A clock that moves one second at every look: each batch seems to take at least that.
    ticks = iter(range(10_000))
    async with running(clock=lambda: float(next(ticks)), brownout=1.5) as rig:
        await rig.submit(Stage.LOW)
        assert not rig.engine.overloaded
        held = await rig.busy()
        tasks = await rig.queued(*range(2))
        assert rig.engine.backlog() >= 2
        assert rig.engine.overloaded
        rig.network.gate.set()
        await asyncio.gather(held, *tasks)
        assert not rig.engine.overloaded


async def test_an_idle_network_may_wait_for_more_images() -> None:
    async with running(max_wait_ms=200) as rig:
        await asyncio.gather(*(rig.submit(Stage.LOW, i) for i in range(3)))
        assert [len(marks) for _, marks in rig.network.batches] == [3]


async def test_stop_lets_what_waits_finish(rig: Rig) -> None:
    held = await rig.busy()
    (waiting,) = await rig.queued(1)
    stopping = asyncio.create_task(rig.engine.stop(LATER))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await rig.submit(Stage.LOW)
    rig.network.gate.set()
    await stopping
    assert held.done()
    assert (await waiting).row.argmax() == 1


async def test_stop_without_grace_refuses_and_never_cancels(rig: Rig) -> None:
    held = await rig.busy()
    (waiting,) = await rig.queued(1)
    stopping = asyncio.create_task(rig.engine.stop())
    for task in (held, waiting):
        with pytest.raises(Unavailable):
            await task
    rig.network.gate.set()
    await stopping


async def test_traffic_leaves_nothing_behind(rig: Rig) -> None:
    tasks = [
        asyncio.create_task(rig.engine.submit(stage, partial(decoded_image, i), soon()))
        for i, stage in enumerate([Stage.LOW, Stage.HIGH] * 40)
    ]
    for task in tasks[::3]:
        await asyncio.sleep(0)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} <= {Inference, Overloaded, asyncio.CancelledError}
    assert rig.depth() == rig.depth(Stage.HIGH) == 0
    await rig.submit(Stage.LOW)


async def test_several_devices_share_the_queue() -> None:
    other = FakeNetwork()
    async with running(more=[other], low_queue=16, probe_interval=0.01) as rig:
        both = [rig.network, other]
        for network in both:
            network.gate.clear()
        held = [rig.submit(Stage.LOW, 1), rig.submit(Stage.LOW, 2)]
        await until(lambda: all(network.entered.is_set() for network in both) or sum(map(batches, both)) == 1)
        held.append(rig.submit(Stage.LOW, 3))
        await until(lambda: all(network.entered.is_set() for network in both))  # at the same time
        waiting = [rig.submit(Stage.LOW, mark) for mark in range(4, 10)]
        await until(lambda: rig.depth() >= 6)
        other.gate.set()  # does everything while the first one is busy
        await asyncio.gather(*waiting)
        rig.network.gate.set()
        await asyncio.gather(*held)
        assert batches(rig.network) == 1
        assert batches(other) >= 3


async def test_a_device_that_fails_leaves_the_work_to_the_others() -> None:
    broken = FakeNetwork()
    broken.failing = float("inf")
    changes: list[bool] = []
    async with running(more=[broken], on_health=lambda: changes.append(True), probe_interval=0.01) as rig:
        while not batches(broken):
            await asyncio.gather(rig.submit(Stage.LOW), return_exceptions=True)
        assert {type(await rig.submit(Stage.LOW)) for _ in range(20)} == {Inference}
        assert batches(broken) == 1
        assert rig.engine.failure is None
        assert not changes
        rig.network.failing = float("inf")
        with pytest.raises(NetworkFailed):
            await rig.submit(Stage.LOW)
        await until(lambda: rig.engine.failure)
        broken.failing = 0
        await until(lambda: rig.engine.failure is None)
        assert (await rig.submit(Stage.LOW)).row.argmax() == 1


def batches(network: FakeNetwork) -> int:
    return len(network.batches)
