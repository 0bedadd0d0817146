"""Run a checkpoint on labelled images exactly as device and server do, and keep the logits and bytes."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from overtone.frequency import Profile, coefficients, encode_bands, fit, open_rgb, quantise
from overtone.models import Cascade, Temperature
from overtone.models.fusion import example, fused
from overtone.training.data import Images
from overtone.training.progress import tracked

Item = tuple[Tensor, Tensor, int, int, int]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class EncodedSet(Dataset[Item]):
    """Images after the codec at one quality: quantised bands, payload sizes, target."""

    def __init__(self, images: Images, profile: Profile, quality: int) -> None:
        self.images, self.profile, self.quality = images, profile, quality

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Item:
        """(low int16[6, h, w], high int16[18, h, w], low bytes, high bytes, target)."""
        p = self.profile
        rgb = fit(open_rgb(self.images.paths[index]), p.size)
        threshold = p.threshold(self.quality)
        low = quantise(coefficients(rgb, p.low), p.low_steps(self.quality), threshold)
        high = quantise(coefficients(rgb, p.high), p.high_steps(self.quality), threshold)
        sent = encode_bands(low, high, p, self.quality)
        return (
            torch.from_numpy(low),
            torch.from_numpy(high),
            len(sent.low),
            len(sent.high),
            self.images.targets[index],
        )


@dataclass(frozen=True)
class Modes:
    """Top-1 low only, always both, and of the cascade (fractions); what low answers, and bytes per image."""

    low: float
    both: float
    cascade: float
    exit_share: float
    mean_bytes: float


@dataclass(frozen=True)
class Predictions:
    """Logits of both stages float64[n, classes], targets int64[n], payload sizes in bytes int64[n]."""

    low: Floats
    high: Floats
    targets: NDArray[np.int64]
    low_bytes: NDArray[np.int64]
    high_bytes: NDArray[np.int64]

    @property
    def low_correct(self) -> Bools:
        """The images that low classifies correctly, bool[n]."""
        correct: Bools = self.low.argmax(axis=1) == self.targets
        return correct

    @property
    def high_correct(self) -> Bools:
        """The images that the high answer classifies correctly, bool[n]."""
        correct: Bools = self.high.argmax(axis=1) == self.targets
        return correct

    @property
    def lost(self) -> Bools:
        """The images that an early answer loses: high classifies them correctly and low does not, bool[n]."""
        return self.high_correct & ~self.low_correct

    def agreeing(self) -> "Predictions":
        """The same predictions with the high answer as the target: what is lost by an early answer is agreement."""
        return replace(self, targets=self.high.argmax(axis=1))

    def early(self, temperature: Temperature, threshold: float) -> Bools:
        """The images that low answers at a threshold on its confidence, bool[n]."""
        return confidence(self.low, temperature.low) >= threshold

    def modes(self, early: Bools) -> Modes:
        """The three modes, in which the cascade answers the `early` images bool[n] from low."""
        low, high = self.low_correct, self.high_correct
        return Modes(
            low=float(low.mean()),
            both=float(high.mean()),
            cascade=float(np.where(early, low, high).mean()),
            exit_share=float(early.mean()),
            mean_bytes=float((self.low_bytes + np.where(early, 0, self.high_bytes)).mean()),
        )

    def take(self, chosen: NDArray[np.integer] | Bools) -> "Predictions":
        """The predictions at these indices, or where this mask is true."""
        return replace(self, **{name: values[chosen] for name, values in vars(self).items()})


def confidence(logits: Floats, temperature: float) -> Floats:
    """The largest probability of each row, float64[n]."""
    top: Floats = softmax(logits / temperature, axis=1).max(axis=1)
    return top


@torch.inference_mode()
def predict(
    model: Cascade, images: Images, profile: Profile, quality: int, workers: int = 0, batch: int = 64
) -> Predictions:
    """Both stages' logits for every image at one quality, with a progress bar on a terminal.

    If the network mixes, high's logits are those of the mixed answer.
    """
    device = next(model.parameters()).device
    # As the server runs it, which is also faster.
    model = fused(model, tuple(x.to(device) for x in example(profile)))
    low_steps = torch.from_numpy(profile.low_steps(quality)).view(-1, 1, 1).to(device)
    high_steps = torch.from_numpy(profile.high_steps(quality)).view(-1, 1, 1).to(device)
    loader = DataLoader(EncodedSet(images, profile, quality), batch, num_workers=workers)
    columns: list[tuple[Tensor, ...]] = []
    for low, high, low_bytes, high_bytes, target in tracked(loader, f"quality {quality}"):
        logits, state = model.low(_maps(low.to(device), low_steps))
        both = model.answer(logits, model.high(state, _maps(high.to(device), high_steps)))
        columns.append((logits.double().cpu(), both.double().cpu(), target, low_bytes, high_bytes))
    return Predictions(*(torch.cat(column).numpy() for column in zip(*columns, strict=True)))


def _maps(values: Tensor, steps: Tensor) -> Tensor:
    return (values.float() * steps).contiguous(memory_format=torch.channels_last)
