"""When the core asks for high: by threshold, by quality, with a mix."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from overtone.frequency import Encoded, Profile, encode, fit, open_rgb
from overtone.gpu_server.answer import Answer, NeedHigh, Options, Stage, Timings
from overtone.gpu_server.core import Core
from overtone.gpu_server.engine import Engine, Inference
from overtone.gpu_server.errors import Overloaded
from overtone.gpu_server.metrics import Metrics
from overtone.gpu_server.service import Service
from overtone.gpu_server.settings import Settings
from overtone.models import Mix, OperatingPoint, read_card, rewrite
from tests.conftest import Photograph
from tests.gpu_server.conftest import SHARED_LOOP, MakeSettings

pytestmark = SHARED_LOOP

ALL, NONE = 0.0, 1.1


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A point that depends on the quality, and one that always asks for high."""
    card = read_card(tiny_checkpoint)
    profile = card.profile.id.hex()

    def point(name: str, threshold: float, quality: int = 2) -> OperatingPoint:
        return OperatingPoint(
            name=name, threshold=threshold, method="risk control", quality=quality, profile=profile
        )

    points = (point("varied", ALL), point("varied", NONE, quality=3), point("asking", NONE))
    path = tmp_path_factory.mktemp("core") / "core.safetensors"
    changes = {"operating_points": points, "operating_point": "varied", "mix": Mix(low=0.5, high=0.5)}
    rewrite(tiny_checkpoint, card.model_copy(update=changes), path)
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def core(settings: MakeSettings, checkpoint: Path) -> AsyncIterator[Core]:
    service = Service(settings(model=str(checkpoint)))
    await service.load()
    yield service.core
    await service.stop()


class BusyEngine(Engine):
    """Has too much to do for high, and no time for low either once it is `full`."""

    def __init__(self, full: bool = False) -> None:
        self._full = full

    @property
    def overloaded(self) -> bool:
        return True

    async def submit(self, stage: Stage, *_: Any, **__: Any) -> Inference:
        if self._full:
            raise Overloaded("full", retry_after=2.4)
        probabilities = np.full(10, 0.1, np.float32)
        return Inference(probabilities, Timings())


def busy(core: Core, settings: Settings, full: bool = False) -> Core:
    """The same model, served by a busy engine."""
    return Core(core.card, BusyEngine(full), settings, Metrics())


def sent(photograph: Photograph, profile: Profile, quality: int) -> Encoded:
    return encode(fit(open_rgb(photograph), profile.size), profile, quality)


async def test_the_point_of_the_quality_decides(
    core: Core, photograph: Photograph, tiny_profile: Profile
) -> None:
    for quality, kind in ((1, Answer), (2, Answer), (3, NeedHigh)):
        found = await core.low(sent(photograph, tiny_profile, quality).low, Options())
        assert isinstance(found, kind), quality
    assert core.card.certified()["varied"] == (2, 3)
    assert json.loads(core.description.card)["certified"]["varied"] == [2, 3]


async def test_a_mixed_answer_does_not_depend_on_what_was_kept(core: Core, encoded: Encoded) -> None:
    options = Options("asking", top=3)
    need = await core.low(encoded.low, options)
    assert isinstance(need, NeedHigh)
    assert need.probabilities is not None
    kept = await core.high(encoded.low, encoded.high, options, need)
    lost = await core.high(encoded.low, encoded.high, options)
    at_once = await core.classify(encoded.low, encoded.high, options)
    for other in (lost, at_once):
        assert other.stage is Stage.HIGH
        assert [s.index for s in other.top] == [s.index for s in kept.top]
        assert other.best.probability == pytest.approx(kept.best.probability, abs=1e-5)


async def test_brown_out_answers_instead_of_asking(
    core: Core, settings: MakeSettings, encoded: Encoded
) -> None:
    overloaded = busy(core, settings())
    answer = await overloaded.low(encoded.low, Options("asking"))
    assert isinstance(answer, Answer)
    assert (answer.stage, answer.confident) == (Stage.BROWNOUT, False)
    both = await overloaded.classify(encoded.low, encoded.high, Options("asking"))
    assert both.stage is Stage.HIGH  # its bytes are spent already


async def test_where_high_finds_no_room_low_is_the_answer(
    core: Core, settings: MakeSettings, encoded: Encoded
) -> None:
    need = await core.low(encoded.low, Options("asking"))
    assert isinstance(need, NeedHigh)
    full = busy(core, settings(), full=True)
    answer = await full.high(encoded.low, encoded.high, Options("asking"), need)
    assert answer.stage is Stage.BROWNOUT
    with pytest.raises(Overloaded):
        await full.high(encoded.low, encoded.high, Options("asking"))
    with pytest.raises(Overloaded):
        await full.low(encoded.low, Options("asking"))


async def test_images_that_take_long_to_decode_hold_up_no_payload(
    core: Core, encoded: Encoded, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        begun.set()
        assert gate.wait(30)
        return open_rgb(*arguments)

    monkeypatch.setattr("overtone.gpu_server.core.open_rgb", slow)
    images = [asyncio.create_task(core.image(jpeg, Options("asking"))) for _ in range(4)]
    await asyncio.to_thread(begun.wait, 30)
    try:
        async with asyncio.timeout(5):
            await core.low(encoded.low, Options("asking"))
        assert not any(image.done() for image in images)
    finally:
        gate.set()
        await asyncio.gather(*images)
