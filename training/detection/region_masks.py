"""The blocks that the high network is shown more of than low was, in training."""

import torch
from torch import Tensor

from overtone.frequency import BlockMask
from overtone.frequency.channels import LOW
from overtone.models.detection.region_network import Target

# Chance of a thing to be in the mask of its picture, and of each of a few places where there may be nothing.
THING, EMPTY, PLACES = 0.7, 0.3, 3
# How far the edges of a box in doubt are from the thing's, as the most of its sides; and the blocks around it.
MOVED, MARGIN = 0.15, 2
# Sides of places where there may be nothing, as fractions of the square.
SIDES = (0.1, 0.6)


def shown_in_regions(
    x: Tensor, below: Tensor, targets: list[Target], share: float, generator: torch.Generator
) -> Tensor:
    """Inputs float32[N, 24, h, w] as `x` in the blocks of drawn masks, and of the others what low knew.

    That is the low channels of `below`; the high ones are zero.
    """
    masks = draw_masks(targets, share, x.shape[-1], generator).to(x.device)
    outside = torch.cat([below[:, : len(LOW)], torch.zeros_like(below[:, len(LOW) :])], dim=1)
    return torch.where(masks, x, outside)


def draw_masks(targets: list[Target], share: float, blocks: int, generator: torch.Generator) -> Tensor:
    """Blocks of which all layers are known, bool[N, 1, blocks, blocks]: all, but for this share of the pictures.

    There they are boxes around some of the things, not quite in place as low finds them, and around nothing.
    """
    partial = torch.rand(len(targets), generator=generator) < share
    masks = torch.ones(len(targets), 1, blocks, blocks, dtype=torch.bool)
    for number in partial.nonzero()[:, 0].tolist():
        boxes = torch.cat([_some(targets[number].boxes.cpu(), generator), _places(generator)])
        margin = int(torch.randint(MARGIN + 1, (1,), generator=generator))
        mask = BlockMask.covering(boxes.double().numpy(), (blocks, blocks), margin)
        masks[number, 0] = torch.from_numpy(mask.blocks.copy())
    return masks


def _some(boxes: Tensor, generator: torch.Generator) -> Tensor:
    """Some boxes float32[n, 4], each with its edges moved."""
    chosen = boxes[torch.rand(len(boxes), generator=generator) < THING]
    sides = (chosen[:, 2:] - chosen[:, :2]).repeat(1, 2)
    moved: Tensor = chosen + MOVED * sides * (2 * torch.rand(chosen.shape, generator=generator) - 1)
    return moved


def _places(generator: torch.Generator) -> Tensor:
    """Boxes float32[n, 4] anywhere in the square."""
    kept = torch.rand(PLACES, generator=generator) < EMPTY
    least, most = SIDES
    sides = least + (most - least) * torch.rand(PLACES, 2, generator=generator)
    corners = (1 - sides) * torch.rand(PLACES, 2, generator=generator)
    return torch.cat([corners, corners + sides], dim=1)[kept]
