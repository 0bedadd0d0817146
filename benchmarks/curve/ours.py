"""Overtone's side of the comparison: a checkpoint over its qualities and thresholds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overtone.benchmarks.curve.comparison import Entry
from overtone.benchmarks.curve.delta_rate import Point, frontier, thinned
from overtone.benchmarks.curve.overhead import Overhead
from overtone.models import Card, Cascade, Temperature
from overtone.training.data import Images
from overtone.training.evaluation.predictions import Predictions, confidence, predict

ALL_CHANNELS = "24 channels at once"
# Shares of the calibration images for which thresholds are chosen so that low answers them.
SHARES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# No confidence reaches this threshold: both bands are always sent.
NEVER = 2.0


@dataclass(frozen=True)
class OperatingSetting:
    """A quality of the profile, and the confidence from which a low answer is final."""

    quality: int
    threshold: float


class CachedPredictions:
    """A checkpoint's predictions on some images by quality, made once and kept in `folder` as `name`-*.npz."""

    def __init__(
        self, model: Cascade, card: Card, images: Images, folder: Path, name: str, workers: int
    ) -> None:
        self.model, self.card, self.images, self.workers = model, card, images, workers
        self.folder, self.name = folder, name
        self._known: dict[int, Predictions] = {}

    def __getitem__(self, quality: int) -> Predictions:
        if quality not in self._known:
            path = self.folder / f"{self.name}-{quality}.npz"
            if not path.is_file():
                found = predict(self.model, self.images, self.card.profile, quality, self.workers)
                temporary = path.with_suffix(".part.npz")
                np.savez_compressed(temporary, **asdict(found))
                temporary.replace(path)
            with np.load(path) as arrays:
                self._known[quality] = Predictions(**arrays)
        return self._known[quality]


def thresholds(p: Predictions, temperature: Temperature) -> list[float]:
    """One for every share, chosen on predictions."""
    scores = np.sort(confidence(p.low, temperature.low))[::-1]
    counts = [round(share * len(scores)) for share in SHARES]
    return [float(scores[count - 1]) if count else NEVER for count in counts]


def choose(calibration: CachedPredictions) -> list[Point]:
    """The frontier over all qualities and thresholds; each point has its `setting`."""
    card, points = calibration.card, []
    for quality in card.profile.qualities:
        p = calibration[quality]
        for threshold in thresholds(p, card.temperature):
            early = confidence(p.low, card.temperature.low) >= threshold
            setting = OperatingSetting(quality, threshold)
            points.append(
                Point(float(_sent(p, early).mean()), float(_correct(p, early).mean()), {"setting": setting})
            )
    return thinned(frontier(points))


def entries(chosen: Sequence[Point], predictions: CachedPredictions, overhead: Overhead) -> list[Entry]:
    """The chosen settings on other images."""
    temperature, found = predictions.card.temperature, []
    for point in chosen:
        setting: OperatingSetting = point.settings["setting"]
        p = predictions[setting.quality]
        early = confidence(p.low, temperature.low) >= setting.threshold
        settings = asdict(setting) | {"exit_share": float(early.mean())}
        wire = overhead.cascade(p.low_bytes, p.high_bytes, early)
        found.append(_entry(p, early, settings, wire))
    return found


def all_channels(predictions: CachedPredictions, overhead: Overhead) -> list[Entry]:
    """Low and high in one message at every quality, without an early answer."""
    found = []
    for quality in predictions.card.profile.qualities:
        p = predictions[quality]
        never = np.zeros(len(p.targets), dtype=bool)
        wire = overhead.image.wire(_sent(p, never))
        found.append(_entry(p, never, {"quality": quality}, wire))
    return found


def _entry(
    p: Predictions, early: NDArray[np.bool_], settings: dict[str, float], wire: NDArray[np.float64]
) -> Entry:
    sent = _sent(p, early).astype(np.float64)
    return Entry(settings, _correct(p, early), {"payload": sent, "wire": wire, "post": wire})


def _sent(p: Predictions, early: NDArray[np.bool_]) -> NDArray[np.int64]:
    return p.low_bytes + np.where(early, 0, p.high_bytes)


def _correct(p: Predictions, early: NDArray[np.bool_]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.where(early, p.low.argmax(axis=1), p.high.argmax(axis=1)) == p.targets
    return found
