"""Cost of layers in regions, in bytes: `python -m overtone.benchmarks.codec.regions --data DIR`.

DIR is a folder in COCO's format. Each picture of val/ is letter-boxed and encoded with a checkpoint's profile: the
first layers for all blocks, the others once for all blocks and once for those that some of its boxes cover, drawn from
a fixed seed, and a margin around them. Bytes are whole payloads, masks included. Rows are shares of the square's
blocks; the grey beside a picture is a part of the square, and `shown` is the share without it.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import pairwise
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from overtone import command, models
from overtone.frequency import (
    BlockMask,
    LetterBox,
    Profile,
    encode,
    encode_region,
    letter_boxed,
    open_rgb,
)
from overtone.training.detection.pictures import Pictures, Things, read_pictures
from overtone.training.progress import tracked

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Cost:
    """The cost of one picture.

    Attributes:
        share, shown: the mask's share of the square's blocks, and of those with pixels of the picture.
        mask: bytes of the mask.
        region, whole: bytes of the layers for the mask's blocks, and for all.
    """

    share: float
    shown: float
    mask: int
    region: int
    whole: int


def some_boxes(things: Things, rng: np.random.Generator) -> NDArray[np.float64]:
    """Boxes float64[k, 4] of randomly chosen objects, one to all."""
    count = len(things.boxes)
    return things.boxes[rng.permutation(count)[: rng.integers(1, count + 1)]]


def costs(
    pictures: Pictures, profile: Profile, quality: int, after: int, margin: int, seed: int = 0
) -> list[Cost]:
    """The cost, for every picture with objects in it, of the layers after the first so many."""
    rng, found = np.random.default_rng(seed), []
    shape = (profile.blocks, profile.blocks)
    for path, things in tracked(list(zip(pictures.paths, pictures.things, strict=True)), "pictures"):
        if not len(things.boxes):
            continue
        box = LetterBox(profile.size, things.width, things.height)
        mask = BlockMask.covering(box.to_square(some_boxes(things, rng)), shape, margin)
        picture = BlockMask.covering([(0, 0, *box.extent)], shape).blocks
        whole = encode(letter_boxed(open_rgb(path), profile.size), profile, quality)
        region = encode_region(whole, profile, mask, after)
        sizes = (sum(map(len, each.layers[after:])) for each in (region, whole))
        found.append(Cost(mask.share, float(mask.blocks[picture].mean()), len(mask.pack()), *sizes))
    return found


def row(found: Sequence[Cost]) -> list[str]:
    """Means over pictures; ratios are of means."""
    share, shown, mask, region, whole = np.mean([astuple(cost) for cost in found], axis=0)
    return [
        str(len(found)),
        f"{share:.3f}",
        f"{shown:.3f}",
        f"{mask:.1f}",
        f"{region:.0f}",
        f"{whole:.0f}",
        f"{region / whole:.3f}",
    ]


def main(
    data: command.Data,
    checkpoint: Annotated[str, typer.Option(help="Whose profile is used.")] = "photographs",
    size: Annotated[int, typer.Option(help="Side of the square in pixels.")] = 320,
    quality: Annotated[int | None, typer.Option(help="Default: the profile's.")] = None,
    after: Annotated[int, typer.Option(help="How many layers are sent for all blocks.")] = 1,
    margin: Annotated[int, typer.Option(help="Blocks around each box.")] = 1,
    measured: Annotated[int, typer.Option(help="Pictures of val/ to measure.")] = 200,
) -> None:
    """Print mean bytes of layers in regions and whole, by the share of blocks."""
    profile = replace(models.load(checkpoint)[1].profile, size=size)
    quality = profile.quality if quality is None else quality
    pictures = read_pictures(data, "val")
    chosen = np.random.default_rng(0).permutation(len(pictures))[:measured]
    found = costs(pictures.take(chosen.tolist()), profile, quality, after, margin)
    layers = " and ".join(f"{layer.band} x{layer.factor}" for layer in profile.ladder[after:])
    table = Table(
        *("blocks", "pictures", "share", "shown", "mask", "region", "whole", "ratio"),
        title=f"{data.name}/val at {size} px, profile {profile.name}, quality {quality}: bytes of {layers}",
    )
    for least, most in pairwise(SHARES):
        some = [cost for cost in found if least < cost.share <= most]
        if some:
            table.add_row(f"to {most:.0%}", *row(some))
    table.add_row("any", *row(found))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
