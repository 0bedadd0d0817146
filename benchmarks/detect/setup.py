"""The inputs of the comparison of detectors: both detectors, and the pictures to choose settings and to report on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from overtone.benchmarks.curve.result_cache import fingerprint
from overtone.benchmarks.detect.ours import CascadeEvaluation
from overtone.benchmarks.detect.rivals import RivalEvaluation
from overtone.benchmarks.evenly import evenly_spread
from overtone.models import choose_device, find
from overtone.models.detection.card import DetectorCard
from overtone.models.detection.checkpoint import load_detector
from overtone.models.detection.detector import Detector, PixelDetector
from overtone.training import weights
from overtone.training.data import DataError
from overtone.training.detection import detector_file
from overtone.training.detection.pictures import Pictures, read_pictures

# Calibration pictures are shuffled with this seed, so that the first ones represent all.
SEED = 0


@dataclass(frozen=True)
class Options:
    """The options: `images` is how many of each part, None for all; `fast` tries about half as many settings."""

    checkpoint: str
    baseline: str
    images: int | None = None
    workers: int = 0
    device: str = "auto"
    fast: bool = False


@dataclass(frozen=True)
class Setup:
    """Both detectors and their fingerprints, the pictures by part, and where results are kept."""

    detector: Detector
    card: DetectorCard
    baseline: PixelDetector
    name: str
    size: int
    ids: tuple[str, str]
    parts: Mapping[str, Pictures]
    folder: Path
    workers: int

    def ours(self, part: str) -> CascadeEvaluation:
        """Overtone's detector on a part of the data."""
        profile, pictures = self.card.profile, self.parts[part]
        return CascadeEvaluation(
            self.detector, profile, pictures, self.folder, f"{self.ids[0]} {part}", self.workers
        )

    def rival(self, part: str) -> RivalEvaluation:
        """The baseline on a part of the data."""
        name = f"{self.ids[1]} {part}"
        return RivalEvaluation(self.baseline, self.size, self.parts[part], self.folder, name, self.workers)

    def parameters(self) -> dict[str, int]:
        """How many parameters each network has."""
        named = {
            "rival": self.baseline,
            "low": self.detector.low_network,
            "high": self.detector.high_network,
        }
        return {name: sum(p.numel() for p in network.parameters()) for name, network in named.items()}


def open_setup(data: Path, out: Path, options: Options) -> Setup:
    """Load both detectors and find the pictures.

    Raises:
        ValueError: no such checkpoint, baseline or folder, or detectors of different classes.
    """
    device, files = choose_device(options.device), (find(options.checkpoint), find(options.baseline))
    (detector, card), baseline = load_detector(files[0], device), detector_file.load(files[1])
    if not isinstance(baseline.detector, PixelDetector):
        raise weights.WeightsError(f"{files[1]}: a baseline reads pictures, this detector channels")
    if baseline.classes != card.classes:
        raise weights.WeightsError(f"{files[1]}: trained for other classes than {options.checkpoint}")
    read = {name: read_pictures(data, name) for name in ("calibration", "val")}
    parts = {name: part.take(evenly_spread(len(part), options.images)) for name, part in read.items()}
    for name, part in parts.items():
        if part.classes != card.classes:
            raise DataError(f"{data}: {name} has other classes than {options.checkpoint}")
        if not len(part):
            raise DataError(f"{data}: settings are chosen on a tenth of train/, which has too few pictures")
    order = np.random.default_rng(SEED).permutation(len(parts["calibration"]))
    parts["calibration"] = parts["calibration"].take(order.tolist())
    return Setup(
        detector,
        card,
        baseline.detector.to(device),
        baseline.name,
        baseline.size,
        (fingerprint(files[0].read_bytes()), fingerprint(files[1].read_bytes())),
        parts,
        out / "measured",
        options.workers,
    )
