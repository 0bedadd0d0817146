"""Our side of the comparison: a checkpoint over its qualities and thresholds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.curve import Point, frontier
from benchmarks.overhead import Overhead
from benchmarks.verdict import Counts, Entry
from models import Card, Cascade, Temperature
from training.data import Pictures
from training.modes import confidence, right
from training.predict import Predictions, predict

NAME = "Overtone"
ALL_CHANNELS = "24 channels at once"
# Shares of the calibration pictures that thresholds are made to answer from low.
SHARES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# Nothing is as sure as this: always both.
NEVER = 2.0


@dataclass(frozen=True)
class Setting:
    """A quality of the profile, and the confidence from which a low answer is final."""

    quality: int
    threshold: float


class Predicted:
    """A checkpoint's predictions on some pictures by quality, made once and kept as files of a folder."""

    def __init__(
        self, model: Cascade, card: Card, pictures: Pictures, folder: Path, name: str, workers: int
    ) -> None:
        self.model, self.card, self.pictures, self.workers = model, card, pictures, workers
        self.folder, self.name = folder, name
        self._known: dict[int, Predictions] = {}

    def __getitem__(self, quality: int) -> Predictions:
        if quality not in self._known:
            self._known[quality] = self._read(quality)
        return self._known[quality]

    def _read(self, quality: int) -> Predictions:
        path = self.folder / f"{self.name}-{quality}.npz"
        if not path.is_file():
            found = predict(self.model, self.pictures, self.card.profile, quality, self.workers)
            temporary = path.with_suffix(".part.npz")
            np.savez_compressed(temporary, **asdict(found))
            temporary.replace(path)
        with np.load(path) as arrays:
            return Predictions(**arrays)


def thresholds(p: Predictions, temperature: Temperature) -> list[float]:
    """One for every share, chosen on predictions."""
    scores = np.sort(confidence(p.low, temperature.low))[::-1]
    counts = [round(share * len(scores)) for share in SHARES]
    return [float(scores[count - 1]) if count else NEVER for count in counts]


def choose(calibration: Predicted) -> list[Setting]:
    """The settings on the frontier of the calibration part, over all qualities and thresholds."""
    card, points = calibration.card, []
    for quality in card.profile.qualities:
        p = calibration[quality]
        for threshold in thresholds(p, card.temperature):
            early = confidence(p.low, card.temperature.low) >= threshold
            spent = p.low_bytes + np.where(early, 0, p.high_bytes)
            settings = {"quality": quality, "threshold": threshold}
            points.append(Point(float(spent.mean()), float(_right(p, early).mean()), settings))
    return [Setting(**point.settings) for point in frontier(points)]


def entries(chosen: Sequence[Setting], predicted: Predicted, overhead: Overhead) -> list[Entry]:
    """The chosen settings on other pictures."""
    return [_entry(predicted[s.quality], s, predicted.card.temperature, overhead) for s in chosen]


def _entry(p: Predictions, setting: Setting, temperature: Temperature, overhead: Overhead) -> Entry:
    early = confidence(p.low, temperature.low) >= setting.threshold
    sent = (p.low_bytes + np.where(early, 0, p.high_bytes)).astype(np.float64)
    wire = overhead.ours(p.low_bytes, p.high_bytes, early)
    settings = asdict(setting) | {"exit_share": float(early.mean())}
    counts: Counts = {"payload": sent, "wire": wire, "post": wire, "bare": sent}
    return Entry(NAME, settings, _right(p, early), counts)


def all_channels(predicted: Predicted, overhead: Overhead) -> list[Entry]:
    """Low and high in one message at every quality: the plain frequency network, without an early answer."""
    found = []
    for quality in predicted.card.profile.qualities:
        p = predicted[quality]
        sent = (p.low_bytes + p.high_bytes).astype(np.float64)
        wire = overhead.image.wire(sent)
        counts: Counts = {"payload": sent, "wire": wire, "post": wire, "bare": sent}
        found.append(Entry(ALL_CHANNELS, {"quality": quality}, right(p)[1], counts))
    return found


def _right(p: Predictions, early: NDArray[np.bool_]) -> NDArray[np.bool_]:
    low, high = right(p)
    return np.where(early, low, high)
