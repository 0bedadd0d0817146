from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.load.upload import Rival
from benchmarks.sweep import equal
from benchmarks.sweep.equal import Judge, Pixels, search, seen
from gpu_server.answer import Stage
from gpu_server.network import open_network

COUNT = 400
TARGETS = np.zeros(COUNT, dtype=np.int64)


class Fake:
    """Right about as many of a hundred pictures as the quality they were compressed with."""

    profile = SimpleNamespace(size=16)

    def answers(self, pictures: Sequence[Pixels]) -> NDArray[np.int64]:
        quality = int(pictures[0].flat[0])
        return (np.arange(len(pictures)) % 100 >= quality).astype(np.int64)


@pytest.fixture
def paths(picture_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    def told(rival: Rival, picture: Image.Image, size: int) -> tuple[Pixels, int]:
        return np.full((size, size, 3), rival.quality, dtype=np.uint8), 10 * rival.quality

    monkeypatch.setattr(equal, "seen", told)
    return [next(picture_folder.rglob("*.jpg"))] * COUNT


def test_the_first_that_is_as_accurate_wins(paths: list[Path]) -> None:
    ours = np.arange(COUNT) % 100 < 80
    tried: list[tuple[int, int]] = []
    rivals = [Rival("webp", 16, quality) for quality in (40, 79, 80, 90)]
    judge: Judge = Fake()  # type: ignore[assignment]
    found = search(
        judge, paths, TARGETS, rivals, ours, lambda rival, *told: tried.append((rival.quality, told[2]))
    )
    assert found == Rival("webp", 16, 80)
    # One far behind on the first pictures is not tried on all, one near is.
    first = equal.FIRST
    assert tried == [(40, first), (79, first), (79, COUNT), (80, first), (80, COUNT)]
    assert search(judge, paths, TARGETS, rivals[:1], ours, lambda *_: None) is None


def test_a_network_sees_the_whole_upload(picture_folder: Path) -> None:
    picture = Image.open(next(picture_folder.rglob("*.jpg"))).convert("RGB").resize((32, 32))
    pixels, size = seen(Rival("webp", 32, 95), picture, 64)
    assert pixels.shape == (64, 64, 3)
    assert size > 0
    near = np.asarray(picture.resize((64, 64), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(pixels - near).mean() < 12


def test_the_judge_is_the_cascade(tiny_checkpoint: Path) -> None:
    network, card = open_network(tiny_checkpoint)
    judge = Judge(network, card)
    size = card.profile.size
    pictures = list(np.random.default_rng(0).integers(0, 255, (5, size, size, 3), dtype=np.uint8))
    bands = [judge._bands(picture) for picture in pictures]
    low, high = (network.run(stage, bands) for stage in (Stage.LOW, Stage.HIGH))
    asked = low.max(axis=1) < card.point(None, card.profile.quality).threshold
    expected = np.where(asked, high.argmax(axis=1), low.argmax(axis=1))
    assert judge.answers(pictures).tolist() == expected.tolist()
