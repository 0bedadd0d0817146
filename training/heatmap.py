"""How often a gate opens each channel: the heat map of Xu et al. (CVPR 2020), section 3.3."""

from pathlib import Path
from typing import Annotated, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from overtone.frequency.channels import COUNT
from overtone.models.gate import GatedResNet
from overtone.training.data import Pictures, ordered_loader
from overtone.training.inputs import Inputs
from overtone.training.progress import tracked
from overtone.training.systems import Normalised, autocast
from overtone.training.trainer import Batches
from overtone.training.weights import Trained

Share = Annotated[float, Field(ge=0, le=1)]


class HeatMapError(ValueError):
    """Not a heat map, or a run that has none."""


class HeatMap(BaseModel):
    """Shares of `n` pictures of `data` for which the gate opens each of the 192 channels.

    `cost` is the run's lambda; top-1 is a fraction, of the gated network on the same pictures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True, validate_by_name=True)

    cost: float = Field(validation_alias="lambda", serialization_alias="lambda", ge=0)
    n: int = Field(gt=0)
    data: str
    size: int
    step: int
    top1: Share
    mean_open: Annotated[float, Field(ge=0, le=COUNT)]
    open: Annotated[tuple[Share, ...], Field(min_length=COUNT, max_length=COUNT)]

    def write(self, path: Path) -> None:
        """As JSON, whole or not at all."""
        temporary = path.with_suffix(".part")
        temporary.write_text(self.model_dump_json(indent=1) + "\n", "utf-8")
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path) -> "HeatMap":
        """A heat map that was written.

        Raises:
            HeatMapError: no such file, or not a heat map.
        """
        if not path.is_file():
            raise HeatMapError(f"{path}: no such file; `overtone train gate` writes heat maps")
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "file"
            raise HeatMapError(f"{path}: not a heat map ({place}: {first['msg']})") from error


@torch.inference_mode()
def measure(trained: Trained, pictures: Pictures, data: str, device: torch.device) -> HeatMap:
    """Count open channels over pictures of `data`, at the finest quantiser step; no label decides anything.

    Raises:
        HeatMapError: the run is not one of a gate.
    """
    recipe, module = trained.recipe, trained.system.module
    if recipe.network.kind != "gate":
        raise HeatMapError(f"{recipe.name} has no gate; train a recipe whose network is of kind gate")
    assert isinstance(module, Normalised)
    assert isinstance(module.network, GatedResNet)
    module.to(device).eval()
    inputs, step = Inputs(trained.system.channels, recipe.quality, device), min(recipe.quality.steps)
    opened, right = torch.zeros(COUNT, dtype=torch.int64), 0
    for rgb, target in tracked(cast(Batches, ordered_loader(pictures, recipe.size)), "heat map"):
        x = module.norm(inputs.at(rgb, step))
        opened += module.network.gates(x).sum(dim=0).cpu()
        with autocast(device):
            right += int((module.network(x).argmax(1).cpu() == target).sum())
    n = len(pictures)
    return HeatMap(
        cost=recipe.network.cost,
        n=n,
        data=data,
        size=recipe.size,
        step=step,
        top1=right / n,
        mean_open=int(opened.sum()) / n,
        open=tuple((opened / n).tolist()),
    )
