"""Two processes by torchrun train what one process trains."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from overtone.training.distributed import ALONE, Ranks
from overtone.training.recipe import Recipe
from overtone.training.runlog import epochs_of
from tests.training.runs import assert_same, cascade, in_float32, trainer, weights_of

ROOT = Path(__file__).parents[2]


def two_processes(chosen: Recipe, pictures: Path, out: Path, epochs: int) -> None:
    """Train at most so many epochs with two processes on this machine."""
    (pictures / "recipe.json").write_text(chosen.model_dump_json())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}"]
    script = [str(ROOT / "tests" / "training" / "ranks.py"), str(pictures / "recipe.json")]
    command = [*torchrun, *script, str(pictures), str(out), str(epochs)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-3000:]


def test_two_processes_are_one_in_two_parts(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cascade with averaged weights, stopped and resumed: parameters and running statistics."""
    monkeypatch.setattr("overtone.training.trainer.autocast", in_float32)
    two, chosen = tmp_path / "two", cascade(ema=0.5)
    two_processes(chosen, picture_folder, two, epochs=3)
    assert len(list(epochs_of(two / "log.jsonl"))) == 3
    assert not (two / "rank0.safetensors").exists()
    two_processes(chosen, picture_folder, two, epochs=9)
    first, second = (load_file(two / f"rank{i}.safetensors") for i in range(2))
    assert_same(first, second)

    one = weights_of(cascade(ema=0.5, accumulate=2), picture_folder, tmp_path / "one")
    counters = {k for k in one if k.endswith("num_batches_tracked")}
    one, first = ({k: v for k, v in state.items() if k not in counters} for state in (one, first))
    assert_same(one, first, rtol=1e-3, atol=1e-4)
    alone, together = (list(epochs_of(tmp_path / name / "log.jsonl")) for name in ("one", "two"))
    assert [e.loss for e in together] == pytest.approx([e.loss for e in alone], rel=1e-4)
    assert [e.top1 for e in together] == [e.top1 for e in alone]
    assert [e.calibration_top1 for e in together] == [e.calibration_top1 for e in alone]


@pytest.mark.parametrize(("n", "count"), [(8, 2), (7, 3), (3, 3), (64, 5)])
def test_shares_are_the_parts_of_tensor_split(n: int, count: int) -> None:
    parts = [part.tolist() for part in torch.arange(n).tensor_split(count)]
    assert [torch.arange(n)[Ranks(i, count).share(n)].tolist() for i in range(count)] == parts
    assert ALONE.share(n) == slice(0, n)


def test_more_processes_than_pictures_in_a_batch(picture_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="9 processes"):
        trainer(cascade(), picture_folder, tmp_path / "run", Ranks(0, 9))
