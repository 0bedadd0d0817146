"""The state of a run after its last finished epoch, as one safetensors file from which it resumes."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.swa_utils import AveragedModel

Tensors = dict[str, Tensor]


class ResumeError(ValueError):
    """A run that cannot be resumed."""


@dataclass
class ActiveStep:
    """A training step in progress: its parameters, optimiser and averaged weights."""

    step: int
    parameters: list[nn.Parameter]
    optimiser: SGD
    ema: AveragedModel | None


@dataclass(frozen=True)
class Saved:
    """The state after `epoch` epochs of `step` (both counted from 0)."""

    step: int
    epoch: int
    tensors: Tensors

    def weights(self) -> Tensors:
        """The network's tensors, not averaged."""
        return _below(self.tensors, "model.")

    def restore(self, active: ActiveStep) -> None:
        """Put momentum and averaged weights back into a step that was just set up."""
        for i, parameter in enumerate(active.parameters):
            momentum = self.tensors[f"momentum.{i}"].to(parameter.device)
            active.optimiser.state[parameter]["momentum_buffer"] = momentum
        if active.ema:
            active.ema.load_state_dict(_below(self.tensors, "ema."))


def save(path: Path, recipe: str, model: nn.Module, active: ActiveStep, epoch: int) -> None:
    """Write the state after `epoch` epochs, atomically."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for i, parameter in enumerate(active.parameters):
        tensors[f"momentum.{i}"] = active.optimiser.state[parameter]["momentum_buffer"]
    if active.ema:
        tensors |= {f"ema.{k}": v for k, v in active.ema.state_dict().items()}
    temporary = path.with_suffix(".part")
    meta = {"step": str(active.step), "epoch": str(epoch), "recipe": recipe}
    save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, meta)
    temporary.replace(path)


def read(path: Path, recipe: str) -> Saved | None:
    """The saved state, or None if there is none.

    Raises:
        ResumeError: it was saved by a different recipe.
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
