"""Overtone's side of the comparison: a checkpoint at all its qualities and many stopping rules."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from overtone.benchmarks.curve.comparison import Entry
from overtone.benchmarks.curve.delta_rate import Point, frontier, thinned
from overtone.benchmarks.curve.overhead import Overhead
from overtone.models import Card, Cascade
from overtone.training.calibration.price_path import fit_path
from overtone.training.data import Images
from overtone.training.evaluation.predictions import Predictions, predict
from overtone.training.evaluation.stopping import Bools, Rule, layers_taken

ALL_CHANNELS = "24 channels at once"
# Shares of the calibration images for which rules are chosen so that the first layer answers them.
SHARES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# How many rules of a path are tried, evenly spread over the bytes that they take.
PRICES = 24
# No confidence reaches this threshold: all layers are always sent.
NEVER = 2.0


@dataclass(frozen=True)
class OperatingSetting:
    """A quality of the profile, and a rule."""

    quality: int
    rule: Rule

    @property
    def document(self) -> dict[str, Any]:
        """Plain values for JSON; `threshold` is that of the first layer."""
        return {"quality": self.quality, "threshold": self.rule.thresholds[0]} | asdict(self.rule)


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
                low_layers = int(arrays["low_layers"])
                named = {name: arrays[name] for name in ("logits", "targets", "sizes")}
            self._known[quality] = Predictions(**named, low_layers=low_layers)
        return self._known[quality]

    def judged(self, setting: OperatingSetting) -> Bools:
        """Whether the server judges each image after each layer at a setting, bool[layers, n]."""
        return self[setting.quality].judged(self.card.temperatures, setting.rule)


def rules(p: Predictions, temperatures: tuple[float, ...]) -> list[Rule]:
    """The stopping rules to choose from: for two layers one per share of exits, for more one per price of an error."""
    if p.layers == 2:
        scores = np.sort(p.confidences(temperatures)[0])[::-1]
        counts = [round(share * len(scores)) for share in SHARES]
        return [Rule((float(scores[count - 1]) if count else NEVER,)) for count in counts]
    path = fit_path(p, temperatures)
    sent = p.bytes_after(layers_taken(path.judged(p, temperatures))).mean(axis=1)
    # Bytes fall along the path.
    wanted = np.linspace(sent[0], sent[-1], PRICES)
    places = np.searchsorted(-sent, -wanted).clip(0, len(path) - 1)
    return [path.rule(int(place)) for place in dict.fromkeys(places.tolist())]


def choose(calibration: CachedPredictions) -> list[Point]:
    """The frontier over all qualities and rules; each point has its `setting`."""
    card, points = calibration.card, []
    for quality in card.profile.qualities:
        p = calibration[quality]
        for rule in rules(p, card.temperatures):
            found = p.summary(p.layers_taken(card.temperatures, rule))
            setting = OperatingSetting(quality, rule)
            points.append(Point(found.mean_bytes, found.cascade, {"setting": setting}))
    return thinned(frontier(points))


def entries(chosen: Sequence[Point], predictions: CachedPredictions, overhead: Overhead) -> list[Entry]:
    """The entries of the chosen settings on other images, for the comparison."""
    found = []
    for point in chosen:
        setting: OperatingSetting = point.settings["setting"]
        p, judged = predictions[setting.quality], predictions.judged(setting)
        modes = p.summary(layers_taken(judged))
        settings = setting.document | {"exit_share": modes.exit_share, "shares": modes.shares}
        found.append(_entry(p, judged, settings, overhead))
    return found


def all_channels(predictions: CachedPredictions, overhead: Overhead) -> list[Entry]:
    """All layers in one message at every quality, without an early answer."""
    found = []
    for quality in predictions.card.profile.qualities:
        p = predictions[quality]
        once = Predictions(p.logits[-1:], p.targets, p.sizes.sum(axis=0, keepdims=True), 0)
        judged = np.ones((1, len(p.targets)), dtype=bool)
        found.append(_entry(once, judged, {"quality": quality}, overhead))
    return found


def _entry(p: Predictions, judged: Bools, settings: dict[str, Any], overhead: Overhead) -> Entry:
    layers = layers_taken(judged)
    sent, wire = p.bytes_after(layers).astype(np.float64), overhead.cascade(p.sizes, judged)
    return Entry(
        settings, {"payload": sent, "bare": sent, "wire": wire, "post": wire}, p.correct_after(layers)
    )
