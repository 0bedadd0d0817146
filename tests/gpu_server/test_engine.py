import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial

import pytest

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.engine import Bands, Engine, Inference
from overtone.gpu_server.errors import BadRequest, Expired, NetworkFailed, Overloaded, Unavailable
from overtone.gpu_server.metrics import Metrics
from tests.gpu_server.conftest import value
from tests.gpu_server.fakes import FakeNetwork, bands, limits
from tests.waiting import LATER, until


def soon() -> float:
    return asyncio.get_running_loop().time() + LATER


def submit(engine: Engine, stage: Stage, mark: int = 0) -> asyncio.Task[Inference]:
    return asyncio.create_task(engine.submit(stage, partial(bands, mark), soon(), source=None))


def depth(metrics: Metrics, stage: Stage) -> float:
    return value(metrics, "overtone_queue_depth", stage=stage)


def shed(metrics: Metrics, stage: Stage, reason: str) -> float:
    return value(metrics, "overtone_shed_total", stage=stage, reason=reason)


@pytest.fixture
def network() -> FakeNetwork:
    return FakeNetwork()


@pytest.fixture
async def engine(network: FakeNetwork, metrics: Metrics) -> AsyncIterator[Engine]:
    engine = Engine(network, metrics, limits(low_queue=6, high_queue=6, probe_interval=0.01))
    await engine.start()
    yield engine
    network.gate.set()
    await engine.stop()


async def busy(engine: Engine, network: FakeNetwork) -> asyncio.Task[Inference]:
    """One image that is held inside the worker."""
    network.gate.clear()
    network.entered.clear()
    held = submit(engine, Stage.LOW, 99)
    await until(network.entered.is_set)
    return held


async def queued(engine: Engine, metrics: Metrics, *marks: int) -> list[asyncio.Task[Inference]]:
    """Images that wait for the low network."""
    tasks = [submit(engine, Stage.LOW, mark) for mark in marks]
    await until(lambda: depth(metrics, Stage.LOW) == len(marks))
    return tasks


async def test_gives_each_image_its_row(engine: Engine, network: FakeNetwork) -> None:
    assert network.warmed
    inference = await submit(engine, Stage.LOW)
    assert inference.probabilities.argmax() == 1
    assert inference.timings.compute > 0


async def test_high_runs_before_low_and_oldest_first(
    engine: Engine, network: FakeNetwork, metrics: Metrics
) -> None:
    held = await busy(engine, network)
    stages = (Stage.LOW, Stage.LOW, Stage.HIGH, Stage.HIGH)
    tasks = [submit(engine, stage, mark) for mark, stage in enumerate(stages)]
    await until(lambda: depth(metrics, Stage.LOW) == depth(metrics, Stage.HIGH) == 2)
    network.gate.set()
    await asyncio.gather(held, *tasks)
    assert network.batches[1:] == [(Stage.HIGH, [2, 3]), (Stage.LOW, [0, 1])]


async def test_batches_have_the_size_that_the_network_wants(
    engine: Engine, network: FakeNetwork, metrics: Metrics
) -> None:
    held = await busy(engine, network)
    tasks = await queued(engine, metrics, *range(6))
    network.gate.set()
    await asyncio.gather(held, *tasks)
    assert [len(marks) for _, marks in network.batches] == [1, 4, 2]


async def test_full_queue_refuses_at_once(engine: Engine, network: FakeNetwork, metrics: Metrics) -> None:
    held = await busy(engine, network)
    tasks = await queued(engine, metrics, *range(6))
    with pytest.raises(Overloaded) as refused:
        await submit(engine, Stage.LOW)
    assert refused.value.retry_after
    assert shed(metrics, Stage.LOW, "full") == 1
    high = submit(engine, Stage.HIGH)  # the other queue has room
    network.gate.set()
    await asyncio.gather(held, high, *tasks)


async def test_expired_before_admission_is_not_even_prepared(engine: Engine, network: FakeNetwork) -> None:
    def never() -> Bands:
        raise AssertionError

    with pytest.raises(Expired):
        await engine.submit(Stage.LOW, never, asyncio.get_running_loop().time() - 1)
    assert not network.batches


async def test_expired_in_the_queue_is_told_while_the_worker_is_busy(
    engine: Engine, network: FakeNetwork, metrics: Metrics
) -> None:
    held = await busy(engine, network)
    with pytest.raises(Expired):
        await engine.submit(Stage.LOW, bands, asyncio.get_running_loop().time() + 0.01)
    assert shed(metrics, Stage.LOW, "expired") == 1
    assert depth(metrics, Stage.LOW) == 0
    network.gate.set()
    await held
    assert len(network.batches) == 1


async def test_cancelled_is_not_computed(engine: Engine, network: FakeNetwork, metrics: Metrics) -> None:
    held = await busy(engine, network)
    gone, stays = await queued(engine, metrics, 1, 2)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert depth(metrics, Stage.LOW) == 1
    network.gate.set()
    await asyncio.gather(held, stays)
    assert network.batches[1:] == [(Stage.LOW, [2])]


async def test_a_single_failure_is_of_its_batch_only(
    engine: Engine, network: FakeNetwork, metrics: Metrics
) -> None:
    held = await busy(engine, network)
    (later,) = await queued(engine, metrics, 1)
    network.failing = 1
    network.gate.set()
    with pytest.raises(NetworkFailed):
        await held
    assert (await later).probabilities.argmax() == 1
    assert engine.failure is None


async def test_what_is_not_a_number_fails_its_image_only(
    engine: Engine, network: FakeNetwork, metrics: Metrics
) -> None:
    held = await busy(engine, network)
    good, bad = await queued(engine, metrics, 1, 2)
    network.not_numbers = {2}
    network.gate.set()
    await asyncio.gather(held, good)
    with pytest.raises(NetworkFailed):
        await bad
    # An image that has a batch to itself is no reason to refuse others either.
    with pytest.raises(NetworkFailed):
        await submit(engine, Stage.LOW, 2)
    await submit(engine, Stage.LOW, 1)
    assert engine.failure is None


async def test_while_the_network_fails_everything_is_refused_at_once(
    network: FakeNetwork, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    changes: list[bool] = []
    engine = Engine(network, metrics, limits(probe_interval=0.01), on_health=lambda: changes.append(True))
    await engine.start()
    held = await busy(engine, network)
    (waiting,) = await queued(engine, metrics, 1)
    network.failing = float("inf")
    network.gate.set()
    with pytest.raises(NetworkFailed):
        await held
    for task in (waiting, submit(engine, Stage.LOW, 2), submit(engine, Stage.HIGH, 3)):
        with pytest.raises(Unavailable):
            await task
    assert network.batches == [(Stage.LOW, [99])]
    assert engine.failure == "the network fails (RuntimeError)"
    await asyncio.sleep(0.05)  # some probes more, which are not logged
    refusing = [r for r in caplog.records if r.levelno == logging.ERROR and "refused" in r.getMessage()]
    assert len(refusing) == 1

    network.failing = 0
    await until(lambda: engine.failure is None)
    assert (await submit(engine, Stage.LOW)).probabilities.argmax() == 1
    assert len(changes) == 2
    await engine.stop()


async def test_a_batching_loop_that_dies_is_started_again(
    engine: Engine, network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(waiting: int) -> int:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(network, "batch_size", broken)
        with pytest.raises(Unavailable):
            await submit(engine, Stage.LOW)
        await until(lambda: engine.failure == "the network fails (ZeroDivisionError)")
    await until(lambda: engine.failure is None)
    assert (await submit(engine, Stage.LOW)).probabilities.argmax() == 1


async def test_what_prepare_raises_comes_out(engine: Engine, metrics: Metrics) -> None:
    def refuse() -> Bands:
        raise BadRequest("no")

    with pytest.raises(BadRequest):
        await engine.submit(Stage.LOW, refuse, soon())
    assert depth(metrics, Stage.LOW) == 0


async def test_overload_is_backlog_above_the_limit(network: FakeNetwork, metrics: Metrics) -> None:
    # A clock that moves one second at every look: each batch seems to take at least that.
    ticks = iter(range(10_000))
    engine = Engine(network, metrics, limits(brownout=1.5), clock=lambda: float(next(ticks)))
    await engine.start()
    await submit(engine, Stage.LOW)
    assert not engine.overloaded
    held = await busy(engine, network)
    tasks = await queued(engine, metrics, *range(2))
    assert engine.backlog() >= 2
    assert engine.overloaded
    network.gate.set()
    await asyncio.gather(held, *tasks)
    assert not engine.overloaded
    await engine.stop()


async def test_an_idle_network_may_wait_for_more_images(network: FakeNetwork, metrics: Metrics) -> None:
    engine = Engine(network, metrics, limits(max_wait_ms=200))
    await engine.start()
    await asyncio.gather(*(submit(engine, Stage.LOW, i) for i in range(3)))
    assert [len(marks) for _, marks in network.batches] == [3]
    await engine.stop()


async def test_stop_lets_what_waits_finish(engine: Engine, network: FakeNetwork, metrics: Metrics) -> None:
    held = await busy(engine, network)
    (waiting,) = await queued(engine, metrics, 1)
    stopping = asyncio.create_task(engine.stop(LATER))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await submit(engine, Stage.LOW)
    network.gate.set()
    await stopping
    assert held.done()
    assert (await waiting).probabilities.argmax() == 1


async def test_stop_without_grace_refuses_and_never_cancels(
    engine: Engine, network: FakeNetwork, metrics: Metrics
) -> None:
    held = await busy(engine, network)
    (waiting,) = await queued(engine, metrics, 1)
    stopping = asyncio.create_task(engine.stop())
    for task in (held, waiting):
        with pytest.raises(Unavailable):
            await task
    network.gate.set()
    await stopping


async def test_traffic_leaves_nothing_behind(engine: Engine, network: FakeNetwork, metrics: Metrics) -> None:
    tasks = [
        asyncio.create_task(engine.submit(stage, partial(bands, i), soon()))
        for i, stage in enumerate([Stage.LOW, Stage.HIGH] * 40)
    ]
    for task in tasks[::3]:
        await asyncio.sleep(0)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} <= {Inference, Overloaded, asyncio.CancelledError}
    assert depth(metrics, Stage.LOW) == depth(metrics, Stage.HIGH) == 0
    await submit(engine, Stage.LOW)
