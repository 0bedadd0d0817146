"""What the core answers after each layer, and when it asks for more: by threshold, by quality, with a mix."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch

from overtone.frequency import Encoded, Layer, Profile, decode, dequantise, encode, fit, open_rgb
from overtone.gpu_server.answer import Answer, NeedMore, Options, Stage, Timings
from overtone.gpu_server.core import Core
from overtone.gpu_server.engine.engine import Engine, Inference, Prepare, Source
from overtone.gpu_server.errors import BadRequest, Overloaded
from overtone.gpu_server.pictures.picture_decoder import PictureDecoder
from overtone.gpu_server.service import Service
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.tasks.classification import softmax
from overtone.gpu_server.telemetry.metrics import Metrics
from overtone.models import Mix, OperatingPoint, load, read_card, rewrite
from tests.conftest import Photograph
from tests.gpu_server.conftest import ALL, NONE, SHARED_LOOP, MakeSettings, value
from tests.ladders import with_ladder
from tests.waiting import LATER

pytestmark = SHARED_LOOP


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A point that depends on the quality, and one that always asks for high."""
    card = read_card(tiny_checkpoint)
    profile = card.profile.id.hex()

    def point(name: str, threshold: float, quality: int = 2) -> OperatingPoint:
        return OperatingPoint(
            name=name, thresholds=(threshold,), method="risk control", quality=quality, profile=profile
        )

    points = (point("varied", ALL), point("varied", NONE, quality=3), point("asking", NONE))
    path = tmp_path_factory.mktemp("core") / "core.safetensors"
    changes = {"operating_points": points, "operating_point": "varied", "mix": Mix(low=0.5, high=0.5)}
    rewrite(tiny_checkpoint, card.model_copy(update=changes), path)
    return path


@asynccontextmanager
async def loaded(settings: Settings) -> AsyncIterator[Core]:
    service = Service(settings)
    await service.load()
    yield service.core
    await service.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def core(settings: MakeSettings, checkpoint: Path) -> AsyncIterator[Core]:
    async with loaded(settings(model=str(checkpoint))) as core:
        yield core


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def three_core(settings: MakeSettings, three_checkpoint: Path) -> AsyncIterator[Core]:
    async with loaded(settings(model=str(three_checkpoint))) as core:
        yield core


@pytest.fixture(scope="module")
def mixing(three_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three layers, and a high answer that is mixed."""
    path = tmp_path_factory.mktemp("mixing") / "mixing.safetensors"
    card = read_card(three_checkpoint).model_copy(update={"mix": Mix(low=0.9, high=0.1)})
    rewrite(three_checkpoint, card, path)
    return path


class Watched(Engine):
    """Notes the stages that it runs, and whether low's logits were known; may be overloaded, or full.

    Attributes:
        ran: stage, number of layers, and whether low's logits came with the image.
        full: stages that have no room.
    """

    def __init__(self, engine: Engine, overloaded: bool = False, full: tuple[Stage, ...] = ()) -> None:
        self.ran: list[tuple[Stage, int, bool]] = []
        self.full = full
        self._engine = engine
        self._overloaded = overloaded

    @property
    def overloaded(self) -> bool:
        return self._overloaded

    async def submit(
        self, stage: Stage, prepare: Prepare, expires: float, source: Source | None = Source.PAYLOAD
    ) -> Inference:
        if stage in self.full:
            raise Overloaded("full", retry_after=2.4)
        found = await self._engine.submit(stage, prepare, expires, source)
        self.ran.append((stage, found.image.layers, found.image.low_row is not None))
        return found


def watched(
    core: Core, settings: Settings, overloaded: bool = False, full: tuple[Stage, ...] = ()
) -> tuple[Core, Watched, Metrics]:
    """The same model with an engine that is watched."""
    engine, metrics = Watched(core._engine, overloaded, full), Metrics()
    return Core(core.card, engine, settings, metrics), engine, metrics


async def needed(judged: Awaitable[Answer | NeedMore]) -> NeedMore:
    found = await judged
    assert isinstance(found, NeedMore)
    return found


async def answered(judged: Awaitable[Answer | NeedMore]) -> Answer:
    found = await judged
    assert isinstance(found, Answer)
    return found


def sent(photograph: Photograph, profile: Profile, quality: int) -> Encoded:
    return encode(fit(open_rgb(photograph), profile.size), profile, quality)


async def test_the_point_of_the_quality_decides(
    core: Core, photograph: Photograph, tiny_profile: Profile
) -> None:
    for quality, kind in ((1, Answer), (2, Answer), (3, NeedMore)):
        found = await core.judge(sent(photograph, tiny_profile, quality).layers[:1], Options())
        assert isinstance(found, kind), quality
    assert core.card.certified()["varied"] == (2, 3)
    assert json.loads(core.description.card.text)["certified"]["varied"] == [2, 3]


async def test_a_mixed_answer_does_not_depend_on_what_was_kept(core: Core, encoded: Encoded) -> None:
    options = Options("asking", top=3)
    need = await needed(core.judge(encoded.layers[:1], options))
    assert need.image.low_row is not None
    kept = await answered(core.judge(encoded.layers[1:], options, need))
    lost = await answered(core.judge(encoded.layers, options))
    at_once = await core.classify(encoded.layers, options)
    for other in (lost, at_once):
        assert other.stage is Stage.HIGH
        assert [s.index for s in other.top] == [s.index for s in kept.top]
        assert other.best.probability == pytest.approx(kept.best.probability, abs=1e-5)


def expected(checkpoint: Path, three: Encoded, layers: int) -> list[float]:
    """Probabilities after so many layers, without the server's code."""
    cascade, card = load(checkpoint)
    decoded = decode(three.layers[:layers], card.profile)
    known = torch.from_numpy(dequantise(decoded.values, decoded.steps))[None]
    with torch.inference_mode():
        low, state = cascade.low(known[:, :6])
        logits = cascade.answer(low, cascade.high(state, known[:, 6:])) if layers == 3 else low
        found: list[float] = torch.softmax(logits / card.temperatures[layers - 1], 1)[0].tolist()
    return found


@pytest.mark.parametrize(
    ("point", "layers", "stage"),
    [("first", 1, Stage.LOW), ("second", 2, Stage.LOW), ("third", 3, Stage.HIGH), ("jump", 3, Stage.HIGH)],
)
async def test_each_layer_can_answer(
    three_core: Core, three_checkpoint: Path, three: Encoded, point: str, layers: int, stage: Stage
) -> None:
    answer = await three_core.classify(three.layers, Options(point, top=10))
    assert (answer.stage, answer.layers, answer.confident) == (stage, layers, layers < 3)
    found = {score.index: score.probability for score in answer.top}
    probabilities = expected(three_checkpoint, three, layers)
    assert found == pytest.approx(dict(enumerate(probabilities)), abs=1e-4)


@pytest.mark.parametrize(
    ("point", "asked", "stages"),
    [
        ("first", [], [(Stage.LOW, 1)]),
        ("second", [2], [(Stage.LOW, 1), (Stage.LOW, 2)]),
        ("third", [2, 3], [(Stage.LOW, 1), (Stage.LOW, 2), (Stage.HIGH, 3)]),
        ("jump", [3], [(Stage.LOW, 1), (Stage.HIGH, 3)]),
    ],
)
async def test_layers_are_asked_for_one_after_the_other_unless_the_point_jumps(
    three_core: Core,
    settings: MakeSettings,
    three: Encoded,
    point: str,
    asked: list[int],
    stages: list[tuple[Stage, int]],
) -> None:
    """And an answer is the same however the layers came."""
    core, engine, metrics = watched(three_core, settings())
    options, wanted, have = Options(point, top=10), [], 1
    found = await core.judge(three.layers[:1], options)
    while isinstance(found, NeedMore):
        assert found.image.layers == have
        assert found.so_far.layers == have
        wanted.append(found.layers)
        found, have = await core.judge(three.layers[have : found.layers], options, found), found.layers
    assert wanted == asked
    assert [ran[:2] for ran in engine.ran] == stages
    for other in (await core.judge(three.layers, options), await core.classify(three.layers, options)):
        assert isinstance(other, Answer)
        assert (other.top, other.layers, other.stage) == (found.top, found.layers, found.stage)
    for layer in (1, 2, 3):
        received = value(metrics, "overtone_received_bytes_total", layer=str(layer))
        assert received == (3 * len(three.layers[layer - 1]) if layer <= found.layers else 0)
        escalations = value(metrics, "overtone_escalations_total", layer=str(layer))
        assert escalations == 3 * (layer in asked)
    dropped = 2 * sum(map(len, three.layers[found.layers :]))
    assert value(metrics, "overtone_dropped_bytes_total") == dropped


async def test_layers_that_are_known_are_not_decoded_again(
    three_core: Core, three: Encoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[int, int]] = []

    def noted(payloads: tuple[bytes, ...], profile: Profile, known: Any) -> Any:
        taken.append((known.layers if known else 0, len(payloads)))
        return decode(payloads, profile, known)

    monkeypatch.setattr("overtone.gpu_server.image_input.decode", noted)
    await three_core.classify(three.layers, Options("third"))
    await three_core.classify(three.layers, Options("jump"))
    assert taken == [(0, 1), (1, 1), (2, 1), (0, 1), (1, 2)]


@pytest.mark.parametrize("point", ["third", "jump"])
async def test_low_runs_again_for_a_mix_only_where_its_values_became_finer(
    settings: MakeSettings, mixing: Path, three: Encoded, point: str
) -> None:
    async with loaded(settings(model=str(mixing))) as plain:
        core, engine, _ = watched(plain, settings())
        answer = await core.classify(three.layers, Options(point, top=10))
    known = {stage: low_row for stage, _, low_row in engine.ran}
    assert known == {Stage.LOW: False, Stage.HIGH: point == "third"}
    found = {score.index: score.probability for score in answer.top}
    assert found == pytest.approx(dict(enumerate(expected(mixing, three, 3))), abs=1e-4)


async def test_a_ladder_may_refine_low_after_high(
    settings: MakeSettings,
    three_checkpoint: Path,
    three_profile: Profile,
    photograph: Photograph,
    tmp_path: Path,
) -> None:
    """Then the high stage runs on coarse low values, and again on fine ones."""
    ladder = (Layer("low", 3), Layer("high", 3), Layer("low", 1), Layer("high", 1))
    profile = with_ladder(three_profile, ladder)
    points = (OperatingPoint(name="all", thresholds=(NONE,) * 3),)
    changes = {"profile": profile, "temperatures": (1.0,) * 4, "mix": Mix(low=0.5, high=0.5)}
    changes |= {"operating_points": points, "operating_point": "all"}
    path = tmp_path / "four.safetensors"
    rewrite(three_checkpoint, read_card(three_checkpoint).model_copy(update=changes), path)
    payloads = sent(photograph, profile, 2).layers
    async with loaded(settings(model=str(path))) as plain:
        core, engine, _ = watched(plain, settings())
        answer = await core.classify(payloads, Options())
    assert (answer.stage, answer.layers) == (Stage.HIGH, 4)
    assert engine.ran == [
        (Stage.LOW, 1, False),
        (Stage.HIGH, 2, True),
        (Stage.HIGH, 3, False),
        (Stage.HIGH, 4, False),
    ]


async def test_coarse_and_fine_images_share_batches(
    settings: MakeSettings, three_checkpoint: Path, three: Encoded
) -> None:
    """Each has the temperature and the values of its own number of layers."""
    async with loaded(settings(model=str(three_checkpoint), batch_sizes=(1, 2, 4), max_wait_ms=10)) as core:
        points = ["first", "second", "third", "jump"] * 4
        alone = {point: await core.classify(three.layers, Options(point, top=10)) for point in set(points)}
        together = await asyncio.gather(*(core.classify(three.layers, Options(p, top=10)) for p in points))
    for point, answer in zip(points, together, strict=True):
        assert answer.layers == alone[point].layers
        assert [s.index for s in answer.top] == [s.index for s in alone[point].top]
        assert answer.best.probability == pytest.approx(alone[point].best.probability, abs=1e-4)


@pytest.mark.parametrize(("count", "stage"), [(1, Stage.LOW), (2, Stage.LOW), (3, Stage.HIGH)])
@pytest.mark.parametrize("point", ["third", "jump"])
async def test_one_shot_answers_from_whatever_layers_there_are(
    three_core: Core, settings: MakeSettings, three: Encoded, count: int, stage: Stage, point: str
) -> None:
    core, _, metrics = watched(three_core, settings(), overloaded=True)
    answer = await core.classify(three.layers[:count], Options(point))
    assert (answer.stage, answer.layers, answer.confident) == (stage, count, False)
    assert value(metrics, "overtone_answers_total", stage=stage) == 1
    assert value(metrics, "overtone_answers_total", stage="brownout") == 0


async def test_brown_out_answers_instead_of_asking(
    core: Core, settings: MakeSettings, encoded: Encoded
) -> None:
    overloaded, _, metrics = watched(core, settings(), overloaded=True)
    answer = await answered(overloaded.judge(encoded.layers[:1], Options("asking")))
    assert (answer.stage, answer.confident, answer.layers) == (Stage.BROWNOUT, False, 1)
    assert value(metrics, "overtone_escalations_total", layer="2") == 0
    # Bytes that are spent already, or as good as spent, are used.
    both = await answered(overloaded.judge(encoded.layers, Options("asking")))
    assert both.stage is Stage.HIGH
    need = await needed(overloaded.judge(encoded.layers[:1], Options("asking"), promised=2))
    assert need.layers == 2


async def test_brown_out_after_the_second_layer(
    three_core: Core, settings: MakeSettings, three: Encoded
) -> None:
    core, _, _ = watched(three_core, settings(), overloaded=True)
    for point in ("third", "jump"):  # which would go on to the third layer at once
        need = await needed(core.judge(three.layers[:1], Options(point), promised=2))
        assert need.layers == 2
        answer = await answered(core.judge(three.layers[1:2], Options(point), need, promised=2))
        assert (answer.stage, answer.confident, answer.layers) == (Stage.BROWNOUT, False, 2)
        assert answer.best.probability != need.so_far.best.probability
        direct = await answered(core.judge(three.layers[:2], Options(point)))
        assert (direct.stage, direct.layers, direct.top) == (Stage.BROWNOUT, 2, answer.top)


async def test_where_a_stage_finds_no_room_the_best_so_far_is_the_answer(
    three_core: Core, settings: MakeSettings, three: Encoded
) -> None:
    core, engine, _ = watched(three_core, settings(), full=(Stage.HIGH,))
    answer = await core.classify(three.layers, Options("third"))
    assert (answer.stage, answer.layers) == (Stage.BROWNOUT, 2)
    need = await needed(core.judge(three.layers[:1], Options("third")))
    engine.full = (Stage.LOW, Stage.HIGH)
    answer = await answered(core.judge(three.layers[1:2], Options("third"), need))
    assert (answer.stage, answer.layers, answer.top) == (Stage.BROWNOUT, 1, need.so_far.top)
    with pytest.raises(Overloaded):
        await core.judge(three.layers, Options("third"))


async def test_timings_are_those_of_all_stages(core: Core, settings: MakeSettings, encoded: Encoded) -> None:
    need = await needed(core.judge(encoded.layers[:1], Options("asking")))
    assert need.so_far.timings.compute > 0
    answer = await answered(core.judge(encoded.layers[1:], Options("asking"), need))
    assert answer.timings.compute > need.so_far.timings.compute
    assert Timings(1, 2) + Timings(3, 4) == Timings(4, 6)


async def test_payloads_that_do_not_fit_are_refused(
    three_core: Core, encoded: Encoded, three: Encoded
) -> None:
    options = Options("third")
    first, second, third = three.layers
    for wrong in ((), (second,), (first, third), (first, first), (*three.layers, third), (b"",)):
        with pytest.raises(BadRequest):
            await three_core.judge(wrong, options)
    need = await needed(three_core.judge((first,), options))
    for wrong in ((third,), (first,), (second, third, third)):
        with pytest.raises(BadRequest):
            await three_core.judge(wrong, options, need)
    # Nothing was spoilt.
    assert (await needed(three_core.judge((second,), options, need))).layers == 3


async def test_fewer_layers_than_asked_for_are_held(
    three_core: Core, settings: MakeSettings, three: Encoded
) -> None:
    """With the first layer or after it; they are neither judged, nor dropped."""
    core, engine, metrics = watched(three_core, settings())
    first, second, third = three.layers
    options = Options("jump")
    need = await needed(core.judge((first,), options))
    nothing = await needed(core.judge((), options, need))
    assert (nothing.layers, nothing.arrived) == (3, 1)
    later = await needed(core.judge((second,), options, need))
    at_once = await needed(core.judge((first, second), options))
    for held in (later, at_once):
        assert (held.layers, held.arrived, held.image.layers) == (3, 2, 1)
        assert held.size == need.size + len(second)
        assert (await answered(core.judge((third,), options, held))).layers == 3
    assert [ran[:2] for ran in engine.ran] == [(Stage.LOW, 1)] * 2 + [(Stage.HIGH, 3)] * 2
    assert value(metrics, "overtone_dropped_bytes_total") == 0


async def test_softmax_divides_by_the_temperature_and_does_not_overflow() -> None:
    logits = np.array([1000.0, 998.0, -1000.0], np.float32)
    np.testing.assert_allclose(softmax(logits, 2.0), [1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0], rtol=1e-6)


async def test_images_that_take_long_to_decode_hold_up_no_payload(
    core: Core, encoded: Encoded, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate = threading.Event(), threading.Event()

    decode = PictureDecoder.values

    def slow(*arguments: Any) -> Any:
        begun.set()
        assert gate.wait(2 * LATER)
        return decode(*arguments)

    monkeypatch.setattr(PictureDecoder, "values", slow)
    images = [asyncio.create_task(core.image(jpeg, Options("asking"))) for _ in range(4)]
    await asyncio.to_thread(begun.wait, LATER)
    try:
        async with asyncio.timeout(LATER):
            await core.judge(encoded.layers[:1], Options("asking"))
        assert not any(image.done() for image in images)
    finally:
        gate.set()
        await asyncio.gather(*images)
