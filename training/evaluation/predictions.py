"""Run a checkpoint on labelled images exactly as device and server do, and keep the logits and bytes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from overtone.frequency import Profile, coefficients, encode_values, fit, known_values, open_rgb, quantise
from overtone.models import Cascade
from overtone.models.cascade import State
from overtone.models.fusion import example, fused
from overtone.training.data import Images, View
from overtone.training.evaluation.stopping import Bools, Floats, Ints, Rule, judged_layers, layers_taken
from overtone.training.progress import tracked

Item = tuple[Tensor, Tensor, int]
_NOTHING: State = ()


class EncodedSet(Dataset[Item]):
    """Images after the codec at one quality: quantised coefficients, payload sizes, target."""

    def __init__(self, images: Images, profile: Profile, quality: int, view: View = fit) -> None:
        self.images, self.profile, self.quality, self.view = images, profile, quality, view

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Item:
        """(coefficients int16[C, h, w] after all layers, bytes of each layer int64[layers], target)."""
        p = self.profile
        steps = p.known_steps(self.quality, len(p.ladder))
        exact = coefficients(self.view(open_rgb(self.images.paths[index]), p.size), p.low + p.high)
        values = quantise(exact, steps, p.threshold(self.quality))
        sizes = [len(payload) for payload in encode_values(values, p, self.quality).layers]
        return torch.from_numpy(values), torch.tensor(sizes), self.images.targets[index]


@dataclass(frozen=True)
class Summary:
    """Top-1 after each layer and of the cascade, the shares of images by their last layer, and the mean bytes."""

    top1: tuple[float, ...]
    cascade: float
    shares: tuple[float, ...]
    mean_bytes: float

    @property
    def low(self) -> float:
        """Top-1 after the first layer."""
        return self.top1[0]

    @property
    def both(self) -> float:
        """Top-1 after all layers."""
        return self.top1[-1]

    @property
    def exit_share(self) -> float:
        """The share of images that are answered after the first layer."""
        return self.shares[0]


@dataclass(frozen=True)
class Predictions:
    """The answers of a checkpoint to n images after every layer, with the bytes of the layers.

    Attributes:
        logits: float64[layers, n, classes].
        targets: int64[n].
        sizes: payload bytes of each layer int64[layers, n].
        low_layers: how many layers the low network answers; the high network answers the rest.
    """

    logits: Floats
    targets: Ints
    sizes: Ints
    low_layers: int = 1

    @property
    def layers(self) -> int:
        """The number of layers."""
        return len(self.logits)

    @property
    def correct(self) -> Bools:
        """Whether the answer after each layer is correct, bool[layers, n]."""
        correct: Bools = self.logits.argmax(axis=2) == self.targets
        return correct

    def confidences(self, temperatures: tuple[float, ...]) -> Floats:
        """The confidence of the answer after each layer, float64[layers, n]."""
        pairs = zip(self.logits, temperatures, strict=True)
        return np.stack([confidence(logits, temperature) for logits, temperature in pairs])

    def judged(self, temperatures: tuple[float, ...], rule: Rule) -> Bools:
        """The layers after which each image is judged under a rule, bool[layers, n]; see `judged_layers`."""
        return judged_layers(self.confidences(temperatures)[:-1], rule.thresholds, rule.all_below)

    def layers_taken(self, temperatures: tuple[float, ...], rule: Rule) -> Ints:
        """How many layers each image takes under a rule, int64[n]."""
        return layers_taken(self.judged(temperatures, rule))

    def correct_after(self, layers: Ints) -> Bools:
        """Whether the answers after these numbers of layers, int64[..., n], are correct."""
        found: Bools = self.correct[layers - 1, np.arange(len(self.targets))]
        return found

    def lost(self, layers: Ints) -> Bools:
        """The images whose full answer is right, but not that after these numbers of layers, int64[..., n]."""
        lost: Bools = self.correct[-1] & ~self.correct_after(layers)
        return lost

    def bytes_after(self, layers: Ints) -> Ints:
        """The total bytes of each image's first layers, given their numbers int64[..., n]."""
        found: Ints = self.sizes.cumsum(axis=0)[layers - 1, np.arange(len(self.targets))]
        return found

    def agreeing(self) -> "Predictions":
        """The same predictions with the full answers as targets, so that `lost` counts disagreement with them."""
        return replace(self, targets=self.logits[-1].argmax(axis=1))

    def summary(self, layers: Ints) -> Summary:
        """The results of a cascade that takes these numbers of layers of the images, int64[n]."""
        shares = np.bincount(layers, minlength=self.layers + 1)[1:] / len(layers)
        return Summary(
            top1=tuple(self.correct.mean(axis=1).tolist()),
            cascade=float(self.correct_after(layers).mean()),
            shares=tuple(shares.tolist()),
            mean_bytes=float(self.bytes_after(layers).mean()),
        )

    def take(self, chosen: NDArray[np.integer] | Bools) -> "Predictions":
        """The predictions at these indices, or where this mask is true."""
        return replace(
            self,
            logits=self.logits[:, chosen],
            targets=self.targets[chosen],
            sizes=self.sizes[:, chosen],
        )


def confidence(logits: Floats, temperature: float) -> Floats:
    """The largest probability of each row, float64[n]."""
    top: Floats = softmax(logits / temperature, axis=1).max(axis=1)
    return top


def predict(
    model: Cascade, images: Images, profile: Profile, quality: int, workers: int = 0, batch: int = 64
) -> Predictions:
    """The logits after every layer for every image at one quality, with a progress bar on a terminal.

    If the network has a mix, logits after the high network's layers are mixed.
    """
    return predict_each(model, images, profile, [quality], workers, batch)[quality]


@torch.inference_mode()
def predict_each(
    model: Cascade,
    images: Images,
    profile: Profile,
    qualities: Iterable[int],
    workers: int = 0,
    batch: int = 64,
) -> dict[int, Predictions]:
    """As `predict`, at several qualities; the predictions by quality."""
    device = next(model.parameters()).device
    # As the server runs it, which is also faster.
    model = fused(model, tuple(x.to(device) for x in example(profile)))
    return {quality: _predict(model, images, profile, quality, workers, batch) for quality in qualities}


def _predict(
    model: Cascade, images: Images, profile: Profile, quality: int, workers: int, batch: int
) -> Predictions:
    loader = DataLoader(EncodedSet(images, profile, quality), batch, num_workers=workers)
    columns: list[tuple[Tensor, ...]] = []
    for values, sent, target in tracked(loader, f"quality {quality}"):
        found = answers(model, values, profile, quality)
        columns.append((found.double().cpu().transpose(0, 1), target, sent))
    logits, targets, sizes = (torch.cat(column).numpy() for column in zip(*columns, strict=True))
    first_high = next(number for number, layer in enumerate(profile.ladder) if layer.band == "high")
    return Predictions(logits.swapaxes(0, 1), targets, sizes.T, first_high)


def answers(model: Cascade, values: Tensor, profile: Profile, quality: int) -> Tensor:
    """Logits [layers, N, classes] after every layer of quantised coefficients int16[N, C, h, w].

    A mix combines the high network's logits with the low network's last ones.
    """
    device, split = next(model.parameters()).device, len(profile.low)
    found: list[Tensor] = []
    low, state = torch.empty(0), _NOTHING
    for count, layer in enumerate(profile.ladder, 1):
        x = maps(values, profile, quality, count).to(device)
        x6, x18 = (part.contiguous(memory_format=torch.channels_last) for part in x.tensor_split([split], 1))
        if not x18.shape[1]:
            low, state = model.low(x6)
            found.append(low)
            continue
        # A layer codes one band, so low's state changes only with a layer of the low band.
        state = model.state(x6) if layer.band == "low" else state
        found.append(model.answer(low, model.high(state, x18)))
    return torch.stack(found)


def maps(values: Tensor, profile: Profile, quality: int, layers: int) -> Tensor:
    """The coefficients float32[N, C, h, w] that a decoder restores from the first `layers` layers."""
    known = known_values(values.transpose(0, 1).numpy(), profile, layers)
    steps = torch.from_numpy(profile.known_steps(quality, layers))
    return torch.from_numpy(known).transpose(0, 1) * steps[:, None, None]
