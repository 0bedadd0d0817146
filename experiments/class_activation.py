"""Further layers only where a class is seen: `python -m experiments.class_activation --data DIR`.

Low's class activation map (Zhou et al., CVPR 2016, equation 2) tells how much each block contributes to its most
probable class. Every image of val/ is answered by high four ways: with all layers of all blocks; with the further
layers of the blocks that contribute most; of as many blocks around the centre of the image; and of those that
contribute least. Bytes are whole payloads, masks included. High was trained on whole images, so this says what
regions give without a training of their own.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from overtone import command, models
from overtone.frequency import BlockMask, Encoded, Profile, encode_region, known_values
from overtone.models import BodyCascade
from overtone.training.data import read_split
from overtone.training.evaluation.predictions import EncodedSet, maps
from overtone.training.progress import tracked

Scores = NDArray[np.float64]
# Coefficients int16[N, C, h, w], bytes of each layer int64[N, layers], and classes int64[N].
Batches: TypeAlias = Iterable[tuple[Tensor, Tensor, Tensor]]
WAYS = ("class activation", "centre", "least active")


@dataclass(frozen=True)
class Answered:
    """The outcome of one image: whether the answer was right, and the bytes of the layers after the first."""

    right: bool
    sent: int


class Activation:
    """Low of a cascade, with the map in front of its global pooling."""

    def __init__(self, model: BodyCascade) -> None:
        self.network = model.low_network
        body = self.network.network
        self.weight = body.get_submodule("classifier").get_parameter("weight")
        body.get_submodule("global_pool").register_forward_hook(self._keep)

    def _keep(self, _: object, inputs: tuple[Tensor, ...], __: object) -> None:
        self.map = inputs[0]

    def __call__(self, x6: Tensor) -> tuple[Tensor, Scores]:
        """Classes int64[N], and their class activation maps float64[N, h, w]."""
        classes = self.network(x6).argmax(1)
        spoken = torch.einsum("nc,nchw->nhw", self.weight[classes], self.map)
        found = functional.interpolate(spoken[:, None], x6.shape[2:], mode="bilinear")
        return classes, found[:, 0].double().numpy()


def most(scores: Scores, share: float) -> BlockMask:
    """The mask of the blocks with the highest scores float64[h, w], a `share` of all blocks."""
    chosen = np.argsort(-scores, axis=None, kind="stable")[: round(share * scores.size)]
    blocks = np.zeros(scores.size, bool)
    blocks[chosen] = True
    return BlockMask(blocks.reshape(scores.shape))


def centrality(side: int) -> Scores:
    """Scores that fall with the distance from the centre, float64[side, side]."""
    offset = np.arange(side) - (side - 1) / 2
    found: Scores = -np.hypot(*np.meshgrid(offset, offset))
    return found


class Regions:
    """A cascade at one quality, whose high answers with further layers of some blocks."""

    def __init__(self, model: BodyCascade, profile: Profile, quality: int) -> None:
        self.model, self.profile, self.quality = model, profile, quality
        layers = len(profile.ladder)
        self.steps = torch.from_numpy(profile.known_steps(quality, layers))[:, None, None]

    def classes(self, values: Tensor, masks: list[BlockMask]) -> Tensor:
        """High's classes int64[N] for coefficients int16[N, C, h, w] that were sent in part."""
        x = torch.stack([self._known(v, m) for v, m in zip(values.numpy(), masks, strict=True)])
        logits: Tensor = self.model.high_network(x.contiguous(memory_format=torch.channels_last))
        return logits.argmax(1)

    def sent(self, values: NDArray[np.int16], mask: BlockMask) -> int:
        """Bytes of the layers after the first."""
        return encode_region(Encoded((b"",), self.quality, values), self.profile, mask).size

    def _known(self, values: NDArray[np.int16], mask: BlockMask) -> Tensor:
        layers = len(self.profile.ladder)
        known = known_values(values, self.profile, layers, (None, *[mask] * (layers - 1)))
        return torch.from_numpy(known) * self.steps


@torch.inference_mode()
def answered(regions: Regions, batches: Batches, shares: list[float]) -> Iterator[tuple[str, Answered]]:
    """Each way to choose blocks and its outcome, for every image."""
    profile, activation = regions.profile, Activation(regions.model)
    for values, sizes, targets in tracked(batches, f"quality {regions.quality}"):
        low, scores = activation(maps(values, profile, regions.quality, 1))
        yield from _each("layer 1", low == targets, [0] * len(values))
        everything = [most(each, 1.0) for each in scores]
        right = regions.classes(values, everything) == targets
        yield from _each("all blocks", right, sizes[:, 1:].sum(1).tolist())
        for share in shares:
            centre = np.broadcast_to(centrality(profile.blocks), scores.shape)
            ranked = (scores, centre, -scores)
            for way, ranking in zip(WAYS, ranked, strict=True):
                masks = [most(each, share) for each in ranking]
                right = regions.classes(values, masks) == targets
                sent = [regions.sent(v, m) for v, m in zip(values.numpy(), masks, strict=True)]
                yield from _each(f"{share:.0%}, {way}", right, sent)


def _each(way: str, right: Tensor, sent: list[int]) -> Iterator[tuple[str, Answered]]:
    for image_right, size in zip(right.tolist(), sent, strict=True):
        yield way, Answered(image_right, size)


def main(
    data: command.Data,
    checkpoint: Annotated[str, typer.Option(help="A cascade of bodies.")] = "imagenette-lite",
    quality: Annotated[list[int] | None, typer.Option(help="Repeatable. Default: the profile's.")] = None,
    share: Annotated[list[float] | None, typer.Option(help="Of the blocks. Repeatable.")] = None,
    images: Annotated[int, typer.Option(help="Images of val/, evenly spread.")] = 400,
) -> None:
    """Print top-1 and mean bytes after the first layer, for each way to choose blocks."""
    model, card = models.load(checkpoint)
    if not isinstance(model, BodyCascade):
        raise typer.BadParameter(f"{checkpoint} is no cascade of bodies", param_hint="--checkpoint")
    chosen = read_split(data, "val", card.classes, card.profile.labels).spread(images)
    table = Table(title=f"{card.name} on {data.name}/val, {len(chosen)} images", title_justify="left")
    for name in ("quality", "further layers of", "top-1", "their bytes"):
        table.add_column(name, justify="left" if name.startswith("further") else "right")
    for each in quality or [card.profile.quality]:
        batches: Batches = DataLoader(EncodedSet(chosen, card.profile, each), 32)
        found = defaultdict[str, list[Answered]](list)
        for way, one in answered(Regions(model, card.profile, each), batches, share or [0.25, 0.5, 0.75]):
            found[way].append(one)
        for way, ones in found.items():
            top1, sent = np.mean([(one.right, one.sent) for one in ones], axis=0)
            table.add_row(str(each), way, f"{top1:.1%}", f"{sent:.0f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
