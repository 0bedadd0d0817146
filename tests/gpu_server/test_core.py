"""When the core asks for high: by threshold, by quality, with a mix."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.frequency import Encoded, Profile, encode, fit, open_rgb
from overtone.gpu_server.answer import Answer, NeedHigh, Options, Stage
from overtone.gpu_server.core import Core
from overtone.gpu_server.service import Service
from overtone.gpu_server.settings import Settings
from overtone.models import Mix, OperatingPoint, read_card, rewrite

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

    points = (
        point("varied", ALL),
        point("varied", NONE, quality=3),
        point("asking", NONE),
    )
    path = tmp_path_factory.mktemp("core") / "core.safetensors"
    changes = {"operating_points": points, "operating_point": "varied", "mix": Mix(low=0.5, high=0.5)}
    rewrite(tiny_checkpoint, card.model_copy(update=changes), path)
    return path


@pytest.fixture
async def core(settings: Callable[..., Settings], checkpoint: Path) -> AsyncIterator[Core]:
    service = Service(settings(model=str(checkpoint)))
    await service.load()
    yield service.core
    await service.stop()


def sent(photograph: NDArray[np.uint8], profile: Profile, quality: int) -> Encoded:
    return encode(fit(open_rgb(photograph), profile.size), profile, quality)


async def test_the_point_of_the_quality_decides(
    core: Core, photograph: NDArray[np.uint8], tiny_profile: Profile
) -> None:
    for quality, kind in ((1, Answer), (2, Answer), (3, NeedHigh)):
        found = await core.low(sent(photograph, tiny_profile, quality).low, Options())
        assert isinstance(found, kind), quality
    assert core.card.certified()["varied"] == (2, 3)
    assert '"certified":{"varied":[2,3]' in core.describe()


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
