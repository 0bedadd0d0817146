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
from overtone.training.evaluation.stopping import Bools, Floats, Ints, Rule, taken, walk
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
        """(int16[C, h, w] as all layers tell them, bytes of each layer int64[layers], target)."""
        p = self.profile
        steps = p.known_steps(self.quality, len(p.ladder))
        exact = coefficients(self.view(open_rgb(self.images.paths[index]), p.size), p.low + p.high)
        values = quantise(exact, steps, p.threshold(self.quality))
        sizes = [len(payload) for payload in encode_values(values, p, self.quality).layers]
        return torch.from_numpy(values), torch.tensor(sizes), self.images.targets[index]


@dataclass(frozen=True)
class Modes:
    """Top-1 after each layer and of the cascade, the shares it answers after each layer, and its mean bytes."""

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
        """The share that the first layer answers."""
        return self.shares[0]


@dataclass(frozen=True)
class Predictions:
    """What a checkpoint says of n images after every layer.

    Attributes:
        logits: of the answers float64[layers, n, classes].
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
        """After which layers the images are judged under a rule, bool[layers, n]; see `walk`."""
        return walk(self.confidences(temperatures)[:-1], rule.thresholds, rule.all_below)

    def taken(self, temperatures: tuple[float, ...], rule: Rule) -> Ints:
        """How many layers each image takes under a rule, int64[n]."""
        return taken(self.judged(temperatures, rule))

    def right(self, layers: Ints) -> Bools:
        """Whether the answers after these numbers of layers, int64[..., n], are correct."""
        found: Bools = self.correct[layers - 1, np.arange(len(self.targets))]
        return found

    def lost(self, layers: Ints) -> Bools:
        """The images whose answer after so many layers, int64[..., n], is wrong though the full one is correct."""
        lost: Bools = self.correct[-1] & ~self.right(layers)
        return lost

    def sent(self, layers: Ints) -> Ints:
        """The bytes of the first so many layers, int64[..., n]."""
        found: Ints = self.sizes.cumsum(axis=0)[layers - 1, np.arange(len(self.targets))]
        return found

    def agreeing(self) -> "Predictions":
        """The same predictions with the full answer as the target: what is lost by an early answer is agreement."""
        return replace(self, targets=self.logits[-1].argmax(axis=1))

    def modes(self, layers: Ints) -> Modes:
        """The cascade that takes so many layers of each image, int64[n], and the answer after each layer."""
        shares = np.bincount(layers, minlength=self.layers + 1)[1:] / len(layers)
        return Modes(
            top1=tuple(self.correct.mean(axis=1).tolist()),
            cascade=float(self.right(layers).mean()),
            shares=tuple(shares.tolist()),
            mean_bytes=float(self.sent(layers).mean()),
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

    If the network mixes, those of layers that high answers are mixed.
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
    """The same at several qualities."""
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

    A mix takes the logits of the last answer that low gives.
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
        # A layer tells values of one band, so the state of low is known unless they are low's.
        state = model.state(x6) if layer.band == "low" else state
        found.append(model.answer(low, model.high(state, x18)))
    return torch.stack(found)


def maps(values: Tensor, profile: Profile, quality: int, layers: int) -> Tensor:
    """What a decoder restores from the first so many layers, float32[N, C, h, w]."""
    known = known_values(values.transpose(0, 1).numpy(), profile, layers)
    steps = torch.from_numpy(profile.known_steps(quality, layers))
    return torch.from_numpy(known).transpose(0, 1) * steps[:, None, None]
