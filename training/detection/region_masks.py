"""Random block masks for the training of the high network, like those that a server requests layers of."""

import torch
from torch import Tensor

from overtone.frequency import BlockMask
from overtone.frequency.channels import LOW
from overtone.models.detection.region_network import Target

# Probability that the box of an object is in the mask; number of random boxes, and the probability of each of them.
OBJECT, EMPTY, RANDOM_BOXES = 0.7, 0.3, 3
# Largest shift of an edge of an object's box, as a fraction of its side; largest margin around boxes, in blocks.
MOVED, MARGIN = 0.15, 2
# Range of the sides of random boxes, as fractions of the square.
SIDES = (0.1, 0.6)


def shown_in_regions(
    x: Tensor, below: Tensor, targets: list[Target], share: float, generator: torch.Generator
) -> Tensor:
    """Inputs float32[N, 24, h, w] of the high network when further layers of some blocks alone are known.

    In the blocks of random masks they are those of `x`. In the others the low channels are those of `below`, and the
    high channels are zero.
    """
    masks = draw_masks(targets, share, x.shape[-1], generator).to(x.device)
    outside = torch.cat([below[:, : len(LOW)], torch.zeros_like(below[:, len(LOW) :])], dim=1)
    return torch.where(masks, x, outside)


def draw_masks(targets: list[Target], share: float, blocks: int, generator: torch.Generator) -> Tensor:
    """Random masks bool[N, 1, blocks, blocks] of the blocks whose layers are all known.

    For the share `share` of the pictures a mask covers some objects' boxes, shifted as if the low network had found
    them, and some random boxes. For the others it covers all blocks.
    """
    partial = torch.rand(len(targets), generator=generator) < share
    masks = torch.ones(len(targets), 1, blocks, blocks, dtype=torch.bool)
    for number in partial.nonzero()[:, 0].tolist():
        boxes = torch.cat([_shifted(targets[number].boxes.cpu(), generator), _random_boxes(generator)])
        margin = int(torch.randint(MARGIN + 1, (1,), generator=generator))
        mask = BlockMask.covering(boxes.double().numpy(), (blocks, blocks), margin)
        masks[number, 0] = torch.from_numpy(mask.blocks.copy())
    return masks


def _shifted(boxes: Tensor, generator: torch.Generator) -> Tensor:
    """A random selection of boxes float32[n, 4], with their edges shifted."""
    chosen = boxes[torch.rand(len(boxes), generator=generator) < OBJECT]
    sides = (chosen[:, 2:] - chosen[:, :2]).repeat(1, 2)
    moved: Tensor = chosen + MOVED * sides * (2 * torch.rand(chosen.shape, generator=generator) - 1)
    return moved


def _random_boxes(generator: torch.Generator) -> Tensor:
    """Boxes float32[n, 4] anywhere in the square."""
    kept = torch.rand(RANDOM_BOXES, generator=generator) < EMPTY
    least, most = SIDES
    sides = least + (most - least) * torch.rand(RANDOM_BOXES, 2, generator=generator)
    corners = (1 - sides) * torch.rand(RANDOM_BOXES, 2, generator=generator)
    return torch.cat([corners, corners + sides], dim=1)[kept]
