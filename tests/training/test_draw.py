from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overtone.models import Card, read_card
from overtone.training.data import Pictures
from overtone.training.draw import draw_all
from overtone.training.gallery import COLUMNS, choose, draw_gallery
from overtone.training.measure import measure
from overtone.training.modes import confidence
from overtone.training.predict import Predictions
from overtone.training.style import DPI, RIGHT, WRONG
from tests.training.test_measure import predictions


@pytest.fixture
def card(tiny_checkpoint: Path) -> Card:
    return read_card(tiny_checkpoint)


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Pictures, Predictions]:
    """Nine grey pictures, and what was said of them; labels must not be taken for mathematics."""
    p = predictions(9)
    paths = tuple(tmp_path / f"{i}.png" for i in range(9))
    for path in paths:
        Image.new("RGB", (80, 64), (128, 128, 128)).save(path)
    return Pictures(paths, tuple(p.targets.tolist()), tuple("abcdefghij")), p


def pixels(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def has(rgb: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", colour: str) -> bool:
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return bool((rgb == wanted).all(axis=-1).any())


@pytest.mark.parametrize("count", [1, 3])
def test_figures(card: Card, tmp_path: Path, count: int) -> None:
    rows = {q: measure(predictions(seed=q), card, q, 0.5) for q in (1, 2, 3)[-count:]}
    paths = draw_all("tiny $x$ on a/val", rows, 3, tmp_path)
    assert [path.name for path in paths] == ["reliability.png", "thresholds.png", "bytes.png"]
    for path, size in zip(paths, ((9, 10), (9, 9.5), (9, 6.5)), strict=True):
        drawn = pixels(path)
        assert drawn.shape == (int(size[1] * DPI), int(size[0] * DPI), 3)
        # Neither blank nor all ink.
        assert 0.01 < (drawn != 255).any(axis=-1).mean() < 0.9


def test_figures_of_a_single_picture(card: Card, tmp_path: Path) -> None:
    for path in draw_all("tiny", {2: measure(predictions(1), card, 2, 0.5)}, 2, tmp_path):
        assert path.stat().st_size > 10_000


def test_gallery_chooses_by_confidence(card: Card, pictures: tuple[Pictures, Predictions]) -> None:
    folder, p = pictures
    scores = confidence(p.low, card.temperature.low)
    most, least = choose(folder, p, card, 3)
    assert [e.low_confidence for e in most] == sorted(scores, reverse=True)[:3]
    assert [e.low_confidence for e in least] == sorted(scores)[:3]
    for exhibit in (*most, *least):
        i = folder.paths.index(exhibit.path)
        labels = card.profile.labels
        assert exhibit.low == labels[p.low[i].argmax()]
        assert exhibit.high == labels[p.high[i].argmax()]
        assert exhibit.truth == labels[p.targets[i]]
        assert exhibit.high_confidence == confidence(p.high, 1.0)[i]


def test_no_picture_is_in_both_halves(card: Card, pictures: tuple[Pictures, Predictions]) -> None:
    folder, p = pictures
    most, least = choose(folder, p, card, 12)
    assert (len(most), len(least)) == (5, 4)
    assert len({e.path for e in (*most, *least)}) == 9


def test_gallery_frames_right_and_wrong(
    card: Card, pictures: tuple[Pictures, Predictions], tmp_path: Path
) -> None:
    folder, p = pictures
    right = Predictions(p.high * 0 + np.eye(10)[p.targets], p.high, p.targets, p.low_bytes, p.high_bytes)
    wrong = Predictions(-right.low, p.high, p.targets, p.low_bytes, p.high_bytes)
    for found, colour, other in ((right, RIGHT, WRONG), (wrong, WRONG, RIGHT)):
        draw_gallery("tiny $x$ on a", folder, found, card, tmp_path / "gallery.png", COLUMNS)
        drawn = pixels(tmp_path / "gallery.png")
        assert has(drawn, colour)
        assert not has(drawn, other)
        assert (drawn == 128).all(axis=-1).mean() > 0.05
