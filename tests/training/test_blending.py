"""Images blended for a teacher to answer."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from overtone.training.data.augmentation import blended
from overtone.training.recipe import Recipe, RecipeError
from tests.training.runs import trainer
from tests.training.tiny_bodies import recipe


def images_of(*levels: int) -> Tensor:
    return torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8).contiguous()


def test_about_the_share_is_blended_by_up_to_a_half() -> None:
    rgb = images_of(*[0, 200] * 500)
    found = blended(rgb, 0.4, torch.Generator().manual_seed(0))
    assert found.dtype == torch.uint8
    changed = (found != rgb).flatten(1).any(1)
    assert 0.35 < changed.float().mean() < 0.45
    # The other image is never the larger part.
    assert (found.float() - rgb.float()).abs().max() <= 100
    assert (found.float() - rgb.float()).abs().max() > 80


def test_nothing_and_everything() -> None:
    rgb = images_of(0, 200, 100)
    assert torch.equal(blended(rgb, 0.0, torch.Generator()), rgb)
    assert (blended(rgb, 1.0, torch.Generator().manual_seed(1)) != rgb).flatten(1).any(1).all()


def test_a_share_is_a_share() -> None:
    with pytest.raises(RecipeError, match="blend"):
        Recipe.validated(recipe().model_dump() | {"blend": 1.5}, "mine")


class Listener(nn.Module):
    """A teacher that remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Tensor] = []

    def forward(self, rgb: Tensor) -> Tensor:
        self.shown.append(rgb.clone())
        return torch.zeros(len(rgb), 2)


def shown(chosen: Recipe, images: Path, folder: Path) -> Tensor:
    run = trainer(chosen, images, folder)
    run.teacher = listener = Listener()
    run.run()
    return torch.cat([rgb for rgb in listener.shown if rgb.shape[-1] == 64])


def test_the_teacher_sees_the_blends(images: Path, tmp_path: Path) -> None:
    plain = shown(recipe(epochs=(1, 0)), images, tmp_path / "plain")
    mixed = shown(recipe(epochs=(1, 0)).changed(blend=1.0), images, tmp_path / "blended")
    assert plain.shape == mixed.shape
    assert (plain != mixed).flatten(1).any(1).all()
