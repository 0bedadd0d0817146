"""Run a checkpoint over labelled pictures exactly as a device and a server would, and keep what came out."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from overtone.frequency import Profile, coefficients, encode_bands, fit, open_rgb, quantise
from overtone.models import Cascade
from overtone.training.data import Pictures
from overtone.training.progress import tracked

Item = tuple[Tensor, Tensor, int, int, int]


class EncodedSet(Dataset[Item]):
    """Pictures through the codec at one quality: quantised bands, payload sizes, target."""

    def __init__(self, pictures: Pictures, profile: Profile, quality: int) -> None:
        self.pictures, self.profile, self.quality = pictures, profile, quality

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Item:
        """(low int16[6, h, w], high int16[18, h, w], low bytes, high bytes, target)."""
        p = self.profile
        rgb = fit(open_rgb(self.pictures.paths[index]), p.size)
        threshold = p.threshold(self.quality)
        low = quantise(coefficients(rgb, p.low), p.low_steps(self.quality), threshold)
        high = quantise(coefficients(rgb, p.high), p.high_steps(self.quality), threshold)
        sent = encode_bands(low, high, p, self.quality)
        return (
            torch.from_numpy(low),
            torch.from_numpy(high),
            len(sent.low),
            len(sent.high),
            self.pictures.targets[index],
        )


@dataclass(frozen=True)
class Predictions:
    """Logits of both stages float64[n, classes], targets int64[n], payload sizes in bytes int64[n]."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    targets: NDArray[np.int64]
    low_bytes: NDArray[np.int64]
    high_bytes: NDArray[np.int64]


@torch.inference_mode()
def predict(
    model: Cascade, pictures: Pictures, profile: Profile, quality: int, workers: int = 0, batch: int = 64
) -> Predictions:
    """Both stages' logits for every picture at one quality, with a progress bar on a terminal.

    High's are those of the high answer: mixed with low's, if the network is said to mix.
    """
    device = next(model.parameters()).device
    low_steps = torch.from_numpy(profile.low_steps(quality)).view(-1, 1, 1).to(device)
    high_steps = torch.from_numpy(profile.high_steps(quality)).view(-1, 1, 1).to(device)
    loader = DataLoader(EncodedSet(pictures, profile, quality), batch, num_workers=workers)
    columns: list[tuple[Tensor, ...]] = []
    for low, high, low_bytes, high_bytes, target in tracked(loader, f"quality {quality}"):
        logits, state = model.low(_maps(low.to(device), low_steps))
        both = model.answer(logits, model.high(state, _maps(high.to(device), high_steps)))
        columns.append((logits.double().cpu(), both.double().cpu(), target, low_bytes, high_bytes))
    return Predictions(*(torch.cat(column).numpy() for column in zip(*columns, strict=True)))


def _maps(values: Tensor, steps: Tensor) -> Tensor:
    return (values.float() * steps).contiguous(memory_format=torch.channels_last)
