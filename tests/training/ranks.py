"""What each process does in the tests of torchrun: RECIPE PICTURES OUT EPOCHS, then stop."""

import sys
from pathlib import Path
from unittest.mock import patch

import torch
from safetensors.torch import save_file

from overtone.training.distributed import joined
from overtone.training.recipe import Recipe
from overtone.training.trainer import Trainer
from tests.training.runs import CPU, in_float32, trainer


class Stopped(Trainer):
    """Leaves before the epoch after the last one allowed."""

    epochs_left = 0

    def _epoch(self, *arguments: object) -> object:  # type: ignore[override]
        if not self.epochs_left:
            sys.exit(0)
        self.epochs_left -= 1
        return super()._epoch(*arguments)  # type: ignore[arg-type]


def main(recipe: str, pictures: str, out: str, epochs: str) -> None:
    torch.set_num_threads(1)
    chosen, folder = Recipe.model_validate_json(Path(recipe).read_text()), Path(out)
    with joined(CPU) as ranks, patch("overtone.training.trainer.autocast", in_float32):
        run = trainer(chosen, Path(pictures), folder, ranks, Stopped)
        assert isinstance(run, Stopped)
        run.epochs_left = int(epochs)
        state = run.run().module.state_dict()
        save_file({k: v.contiguous() for k, v in state.items()}, folder / f"rank{ranks.rank}.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
