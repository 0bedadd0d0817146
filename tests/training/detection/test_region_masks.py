import torch

from overtone.frequency import BlockMask
from overtone.models.detection.region_network import Target
from overtone.training.detection.region_masks import draw_masks, shown_in_regions

BLOCKS = 16


def target(*boxes: tuple[float, float, float, float]) -> Target:
    labels, crowd = torch.zeros(len(boxes), dtype=torch.int64), torch.zeros(len(boxes), dtype=torch.bool)
    return Target(torch.tensor(boxes).reshape(-1, 4), labels, crowd)


def drawn(targets: list[Target], share: float, seed: int = 0) -> torch.Tensor:
    return draw_masks(targets, share, BLOCKS, torch.Generator().manual_seed(seed))


def test_a_share_of_the_pictures_is_known_in_part() -> None:
    targets = [target((0.2, 0.2, 0.5, 0.5))] * 200
    assert drawn(targets, 0.0).all()
    parts = (~drawn(targets, 0.5).flatten(1).all(1)).float().mean()
    assert 0.35 < parts < 0.65
    assert torch.equal(drawn(targets, 0.5), drawn(targets, 0.5))


def test_most_things_are_covered_and_most_of_the_rest_is_not() -> None:
    box = (0.25, 0.25, 0.5, 0.5)
    inside = torch.from_numpy(BlockMask.covering([box], (BLOCKS, BLOCKS)).blocks.copy())
    masks = drawn([target(box)] * 200, 1.0)[:, 0].float().mean(0)
    assert 0.6 < masks[inside].mean() < 0.95
    assert masks[~inside].mean() < 0.4
    assert 0 < drawn([target()] * 50, 1.0).float().mean() < 0.5


def test_outside_the_mask_there_is_what_low_knew() -> None:
    x, below = torch.full((8, 24, BLOCKS, BLOCKS), 2.0), torch.full((8, 24, BLOCKS, BLOCKS), 1.0)
    targets = [target((0.1, 0.1, 0.3, 0.3))] * 8
    found = shown_in_regions(x, below, targets, 1.0, torch.Generator().manual_seed(3))
    masks = drawn(targets, 1.0, seed=3).expand(-1, 24, -1, -1)
    assert (found[masks] == 2).all()
    assert (found[:, :6][~masks[:, :6]] == 1).all()
    assert (found[:, 6:][~masks[:, 6:]] == 0).all()
