"""What a run needs to go on after its last finished epoch, as one safetensors file."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.swa_utils import AveragedModel

Tensors = dict[str, Tensor]


class ResumeError(ValueError):
    """A run that cannot be gone on with."""


@dataclass
class Stage:
    """A step under way: what is trained, how, the average of the weights so far, and the forward pass."""

    step: int
    parameters: list[nn.Parameter]
    optimiser: SGD
    ema: AveragedModel | None
    forward: nn.Module


@dataclass(frozen=True)
class Saved:
    """The state after `epoch` epochs of `step` (both from 0)."""

    step: int
    epoch: int
    tensors: Tensors

    def weights(self) -> Tensors:
        """The network's tensors, not averaged."""
        return _below(self.tensors, "model.")

    def restore(self, stage: Stage) -> None:
        """Momentum and average back into a stage just set up."""
        for i, parameter in enumerate(stage.parameters):
            momentum = self.tensors[f"momentum.{i}"].to(parameter.device)
            stage.optimiser.state[parameter]["momentum_buffer"] = momentum
        if stage.ema:
            stage.ema.load_state_dict(_below(self.tensors, "ema."))


def save(path: Path, recipe: str, model: nn.Module, stage: Stage, epoch: int) -> None:
    """Write the state after `epoch` epochs, whole or not at all."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for i, parameter in enumerate(stage.parameters):
        tensors[f"momentum.{i}"] = stage.optimiser.state[parameter]["momentum_buffer"]
    if stage.ema:
        tensors |= {f"ema.{k}": v for k, v in stage.ema.state_dict().items()}
    temporary = path.with_suffix(".part")
    meta = {"step": str(stage.step), "epoch": str(epoch), "recipe": recipe}
    save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, meta)
    temporary.replace(path)


def read(path: Path, recipe: str) -> Saved | None:
    """What was saved, or None when nothing was.

    Raises:
        ResumeError: it was saved by another recipe.
    """
    if not path.exists():
        return None
    with safe_open(path, "pt") as file:
        meta = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if meta["recipe"] != recipe:
        raise ResumeError(f"{path} was written by another recipe; choose another --out")
    return Saved(int(meta["step"]), int(meta["epoch"]), tensors)


def _below(tensors: Tensors, prefix: str) -> Tensors:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
