"""Tiny networks through all steps, whole and interrupted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn

from overtone.frequency import THREE_LAYERS
from overtone.models import Cascade, load
from overtone.models.resnet_cascade import Normalise
from overtone.training.data import TestSet
from overtone.training.network_configs import StartError
from overtone.training.resume import ActiveStep, ResumeError
from overtone.training.run_log import Epoch, read_epochs
from overtone.training.trainer import Trainer
from tests.training.runs import BASELINE, assert_same, cascade, interrupt, recipe, trainer, weights_of

# A first network of one step, and a cascade of two.
SINGLE = recipe(BASELINE, (3,))


@pytest.fixture(scope="module")
def whole(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    trainer(cascade(), images, folder).run()
    return folder


@pytest.mark.parametrize("after", [1, 2, 3])
def test_resumed_equals_uninterrupted(after: int, whole: Path, images: Path, tmp_path: Path) -> None:
    interrupt(cascade(), images, tmp_path, after)
    assert_same(weights_of(cascade(), images, whole), weights_of(cascade(), images, tmp_path))
    logs = [list(read_epochs(folder / "log.jsonl")) for folder in (whole, tmp_path)]
    assert [(e.step, e.epoch, e.loss) for e in logs[0]] == [(e.step, e.epoch, e.loss) for e in logs[1]]


def test_a_finished_run_is_not_trained_again(whole: Path, images: Path) -> None:
    log = whole / "log.jsonl"
    before = log.read_text()
    weights_of(cascade(), images, whole)
    assert log.read_text() == before
    epochs = list(read_epochs(log))
    assert [(e.step, e.epoch, e.size) for e in epochs] == [(0, 0, 48), (0, 1, 64), (1, 0, 48), (1, 1, 64)]
    assert [e.calibration_top1 is None for e in epochs] == [True, False, True, False]
    assert all(e.seconds > 0 for e in epochs)


def test_another_recipe_is_refused(whole: Path, images: Path) -> None:
    with pytest.raises(ResumeError, match="another recipe"):
        trainer(cascade(epochs=(3, 3)), images, whole).run()


def test_a_single_network_trains_all_its_weights_and_resumes(images: Path, tmp_path: Path) -> None:
    network = trainer(SINGLE, images, tmp_path / "whole")
    before = {k: v.clone() for k, v in network.system.module.state_dict().items()}
    trained = dict(network.run().module.state_dict())
    interrupt(SINGLE, images, tmp_path / "broken", 2)
    assert_same(trained, weights_of(SINGLE, images, tmp_path / "broken"))
    names = [name for name, _ in network.system.module.named_parameters()]
    assert not [name for name in names if torch.equal(before[name], trained[name])]


SCRIPT = """
import sys; from pathlib import Path; import torch; torch.set_num_threads(1)
from overtone.training.recipe import Recipe; from tests.training.runs import trainer
trainer(Recipe.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])).run()
"""


def test_a_killed_run_is_resumed(images: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle costs at most the epoch in progress, and the numbers stay the same."""
    chosen = recipe(BASELINE, (6,))
    arguments = [chosen.model_dump_json(), str(images), str(tmp_path / "killed")]
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], cwd=root) as process:
        log = tmp_path / "killed" / "log.jsonl"
        while process.poll() is None and len(list(read_epochs(log))) < 2:
            time.sleep(0.01)
        process.kill()
    assert len(list(read_epochs(log))) >= 2
    resumed = weights_of(chosen, images, tmp_path / "killed")
    assert_same(weights_of(chosen, images, tmp_path / "whole"), resumed)
    assert [e.epoch for e in read_epochs(log)] == [*range(6)]


@pytest.mark.parametrize("structure", [1, 2, 3])
def test_the_second_step_leaves_the_first_alone(structure: int, images: Path, tmp_path: Path) -> None:
    kept: dict[str, torch.Tensor] = {}

    def keep(line: Epoch) -> None:
        if line.step == 0:
            parts = network.system.steps()[0]
            frozen = {id(t) for m in parts for t in m.state_dict(keep_vars=True).values()}
            state = network.system.module.state_dict(keep_vars=True)
            kept.update({k: v.detach().clone() for k, v in state.items() if id(v) in frozen})

    network = trainer(cascade(structure, (1, 1)), images, tmp_path, keep)
    after = network.run().module.state_dict()
    assert kept
    assert_same(kept, {k: after[k] for k in kept})
    assert {k for k in after if k not in kept and "norm" not in k}


@pytest.mark.parametrize("chosen", [cascade(epochs=(0, 0)), recipe(BASELINE, (0,))])
def test_normalisation_is_that_of_the_inputs(chosen: object, images: Path, tmp_path: Path) -> None:
    network = trainer(chosen, images, tmp_path)  # type: ignore[arg-type]
    module = network.run().module
    shown = TestSet(network.train, 64)
    x = network.inputs.exact(torch.stack([shown[i][0] for i in range(len(shown))]))
    norm = module.low_norm if isinstance(module, Cascade) else module.get_submodule("norm")
    assert isinstance(norm, Normalise)
    normalised = norm(x[:, : len(norm.mean)])
    zeros = torch.zeros(normalised.shape[1])
    torch.testing.assert_close(normalised.mean(dim=(0, 2, 3)), zeros, atol=2e-3, rtol=0)
    torch.testing.assert_close(normalised.std(dim=(0, 2, 3)), zeros + 1, atol=1e-2, rtol=0)


@contextmanager
def exact(network: Trainer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Float32, and batch statistics as in eval mode, so that an image's gradient does not depend on its batch."""
    monkeypatch.setattr("overtone.training.trainer.autocast", lambda *_: nullcontext())
    for layer in network.system.module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.train = lambda mode=True, layer=layer: nn.Module.train(layer, False)  # type: ignore[method-assign, misc]
    yield


def test_accumulated_parts_are_the_whole_batch(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(accumulate: int) -> dict[str, torch.Tensor]:
        network = trainer(recipe(BASELINE, (1,), accumulate=accumulate), images, tmp_path / str(accumulate))
        with exact(network, monkeypatch):
            return dict(network.run().module.state_dict())

    assert_same(run(1), run(3), rtol=1e-4, atol=1e-5)


def test_accumulation_moves_running_statistics_once(images: Path, tmp_path: Path) -> None:
    """By as much as one batch moves them: those of the first layer are then the whole batch's."""

    def run(accumulate: int) -> torch.Tensor:
        chosen = cascade(epochs=(1, 0), accumulate=accumulate, lr=1e-9, batch=16)
        return weights_of(chosen, images, tmp_path / str(accumulate))["low_stem.1.running_mean"]

    torch.testing.assert_close(run(2), run(1), rtol=1e-3, atol=1e-4)


def test_low_learns_from_high(images: Path, tmp_path: Path) -> None:
    network = trainer(cascade(distil=0.25), images, tmp_path)
    network.system.module.eval()
    x, target = torch.randn(3, 24, 8, 8), torch.tensor([0, 1, 1])
    plain = torch.tensor([[0.95, 0.05], [0.05, 0.95], [0.05, 0.95]])
    torch.testing.assert_close(network.targets(0, x, target), plain)
    taught = network.system.logits(0, x).softmax(1).detach()
    torch.testing.assert_close(network.targets(1, x, target), 0.75 * plain + 0.25 * taught)


def test_a_cascade_starts_from_a_checkpoint(trained: Path, images: Path, tmp_path: Path) -> None:
    again = weights_of(cascade(epochs=(0, 0)).changed(start=str(trained)), images, tmp_path / "again")
    assert_same(load(trained)[0].state_dict(), again)
    other = cascade(structure=1).changed(start=str(trained))
    with pytest.raises(StartError, match="different network"):
        weights_of(other, images, tmp_path / "other")


def test_interrupted_by_a_person(images: Path, tmp_path: Path) -> None:
    """Ctrl-C loses no finished epoch."""
    # A shell ignores the signal for what it runs in the background.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            trainer(SINGLE, images, tmp_path, lambda line: os.kill(os.getpid(), signal.SIGINT)).run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(list(read_epochs(tmp_path / "log.jsonl"))) == 1


def test_low_learns_from_coarse_layers_and_high_from_all(images: Path, tmp_path: Path) -> None:
    """With a ladder of three, low sees each image after one of its layers; what high teaches it is the full answer."""
    chosen = cascade(epochs=(1, 1), distil=0.5)
    chosen = chosen.changed(quality=chosen.quality.model_dump() | {"ladder": THREE_LAYERS})
    run = trainer(chosen, images, tmp_path)
    seen: list[tuple[int, torch.Tensor, torch.Tensor]] = []
    update = run._update

    def kept(
        active: ActiveStep,
        lr: float,
        x: torch.Tensor,
        target: torch.Tensor,
        rgb: torch.Tensor,
        full: torch.Tensor,
    ) -> torch.Tensor:
        seen.append((active.step, x, full))
        return update(active, lr, x, target, rgb, full)

    run._update = kept  # type: ignore[method-assign]
    run.run()
    assert all(x is full for step, x, full in seen if step == 0)
    later = [(x, full) for step, x, full in seen if step == 1]
    coarse = [bool((a != b).any()) for x, full in later for a, b in zip(x[:, :6], full[:, :6], strict=True)]
    assert set(coarse) == {True, False}
    assert all((x[:, 6:] == full[:, 6:]).all() for x, full in later)
