"""Our side of the comparison: a checkpoint over its qualities and thresholds."""

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from overtone.benchmarks.curve.blocks import shared, spans
from overtone.benchmarks.curve.delta_rate import Point, frontier, thinned
from overtone.benchmarks.curve.overhead import Overhead
from overtone.benchmarks.curve.verdict import Counts, Entry
from overtone.models import Card, Cascade, Temperature
from overtone.training.data import Images
from overtone.training.evaluation.predictions import EncodedSet, Predictions, confidence
from overtone.training.progress import tracked

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


class Bands(NamedTuple):
    """Quantised low int16[n, 6, h, w] and high int16[n, 18, h, w], their bytes and targets int64[n]."""

    low: Tensor
    high: Tensor
    low_bytes: Tensor
    high_bytes: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Answering:
    """Pictures through the codec at one quality and both stages of a network, in blocks (from, to)."""

    model: Cascade
    encoded: EncodedSet

    @property
    def on_gpu(self) -> bool:
        """Whether it is no CPU."""
        return self._device.type != "cpu"

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def prepare(self, span: tuple[int, int]) -> Bands:
        """What arrives."""
        low, high, *rest = default_collate([self.encoded[i] for i in range(*span)])
        return Bands(low, high, *rest)

    @torch.inference_mode()
    def answer(self, bands: Bands) -> Predictions:
        """What both stages say of it."""
        profile, quality = self.encoded.profile, self.encoded.quality
        low, state = self.model.low(self._maps(bands.low, profile.low_steps(quality)))
        high = self.model.answer(
            low, self.model.high(state, self._maps(bands.high, profile.high_steps(quality)))
        )
        columns = low.double(), high.double(), bands.targets, bands.low_bytes, bands.high_bytes
        return Predictions(*(column.cpu().numpy() for column in columns))

    def _maps(self, values: Tensor, steps: NDArray[np.float32]) -> Tensor:
        scaled = values.to(self._device).float() * torch.from_numpy(steps).view(-1, 1, 1).to(self._device)
        return scaled.contiguous(memory_format=torch.channels_last)


class Predicted:
    """A checkpoint's predictions on some pictures by quality, made once and kept as files of a folder."""

    def __init__(
        self, model: Cascade, card: Card, pictures: Images, folder: Path, name: str, workers: int
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
            temporary = path.with_suffix(".part.npz")
            np.savez_compressed(temporary, **asdict(self._predict(quality)))
            temporary.replace(path)
        with np.load(path) as arrays:
            return Predictions(**arrays)

    def _predict(self, quality: int) -> Predictions:
        jobs = spans(0, len(self.pictures))
        work = Answering(self.model, EncodedSet(self.pictures, self.card.profile, quality))
        done = tracked(shared(work, jobs, self.workers), f"ours, quality {quality}", len(jobs))
        columns = zip(*(astuple(part) for part in done), strict=True)
        return Predictions(*(np.concatenate(column) for column in columns))


def thresholds(p: Predictions, temperature: Temperature) -> list[float]:
    """One for every share, chosen on predictions."""
    scores = np.sort(confidence(p.low, temperature.low))[::-1]
    counts = [round(share * len(scores)) for share in SHARES]
    return [float(scores[count - 1]) if count else NEVER for count in counts]


def choose(calibration: Predicted) -> list[Point]:
    """The frontier of the calibration part over all qualities and thresholds, each with its `Setting`."""
    card, points = calibration.card, []
    for quality in card.profile.qualities:
        p = calibration[quality]
        for threshold in thresholds(p, card.temperature):
            early = confidence(p.low, card.temperature.low) >= threshold
            spent = p.low_bytes + np.where(early, 0, p.high_bytes)
            setting = {"setting": Setting(quality, threshold)}
            points.append(Point(float(spent.mean()), float(_right(p, early).mean()), setting))
    return thinned(frontier(points))


def entries(chosen: Sequence[Point], predicted: Predicted, overhead: Overhead) -> list[Entry]:
    """The chosen settings on other pictures."""
    settings: list[Setting] = [point.settings["setting"] for point in chosen]
    return [_entry(predicted[s.quality], s, predicted.card.temperature, overhead) for s in settings]


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
        found.append(Entry(ALL_CHANNELS, {"quality": quality}, p.high_correct, counts))
    return found


def _right(p: Predictions, early: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.where(early, p.low_correct, p.high_correct)
