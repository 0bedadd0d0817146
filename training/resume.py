"""The state of a run after its last finished epoch, as one safetensors file from which it resumes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

Tensors = dict[str, Tensor]
# Prefix of the network's tensors.
MODEL = "model."
# Prefix of the optimiser's, followed by the number of the parameter.
OPTIMISER = "optimiser."


class ResumeError(ValueError):
    """A run that cannot be resumed."""


@dataclass
class ActiveStep:
    """A training step in progress: its parameters and optimiser."""

    step: int
    parameters: list[nn.Parameter]
    optimiser: Optimizer


@dataclass(frozen=True)
class Saved:
    """The state after `epoch` epochs of `step` (both counted from 0)."""

    step: int
    epoch: int
    tensors: Tensors

    def weights(self) -> Tensors:
        """The network's tensors."""
        return {k.removeprefix(MODEL): v for k, v in self.tensors.items() if k.startswith(MODEL)}

    def restore(self, active: ActiveStep) -> None:
        """Put the optimiser's state back into a step that was just set up."""
        for key, value in self.tensors.items():
            if key.startswith(OPTIMISER):
                number, name = key.removeprefix(OPTIMISER).split(".")
                parameter = active.parameters[int(number)]
                # AdamW counts its steps on the CPU.
                kept = value if value.ndim == 0 else value.to(parameter.device)
                active.optimiser.state[parameter][name] = kept


def save(path: Path, recipe: str, model: nn.Module, active: ActiveStep, epoch: int) -> None:
    """Write the state after `epoch` epochs, atomically."""
    tensors = {f"{MODEL}{k}": v for k, v in model.state_dict().items()}
    for i, parameter in enumerate(active.parameters):
        # A parameter that is still frozen has no state.
        state = active.optimiser.state.get(parameter, {})
        tensors |= {f"{OPTIMISER}{i}.{name}": v for name, v in state.items() if isinstance(v, Tensor)}
    temporary = path.with_suffix(".part")
    meta = {"step": str(active.step), "epoch": str(epoch), "recipe": recipe}
    save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, meta)
    temporary.replace(path)


@dataclass(frozen=True)
class Progress:
    """How far a run has come: as in `Saved`, with its recipe as JSON."""

    recipe: str
    step: int
    epoch: int


def progress(path: Path) -> Progress | None:
    """How far the run with this saved state has come; None if the file is not a saved state."""
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
        return Progress(meta["recipe"], int(meta["step"]), int(meta["epoch"]))
    except (SafetensorError, OSError, KeyError):
        return None


def recipe_of(path: Path) -> str | None:
    """The recipe, as JSON, of a run's saved state; None if there is none."""
    if not path.exists():
        return None
    with safe_open(path, "pt") as file:
        return str(file.metadata()["recipe"])


def read(path: Path, recipe: str, essential: Callable[[str], str] = str) -> Saved | None:
    """The saved state, or None if there is no file.

    Args:
        path: of the saved state.
        recipe: of the run that is to be resumed, as JSON.
        essential: from a recipe to the part of it that must not change, by default all of it.

    Raises:
        ResumeError: the state was saved by a run of another recipe.
    """
    if not path.exists():
        return None
    with safe_open(path, "pt") as file:
        meta = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if essential(meta["recipe"]) != essential(recipe):
        raise ResumeError(f"{path} was written by another recipe; choose another --out")
    return Saved(int(meta["step"]), int(meta["epoch"]), tensors)
