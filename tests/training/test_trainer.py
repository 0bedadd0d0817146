"""Tiny networks through all steps, whole and interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from overtone.models import Cascade, load
from overtone.models.cascade import Normalise
from overtone.training import commands, weights
from overtone.training.data import TestSet
from overtone.training.evaluate import evaluate
from overtone.training.recipe import Recipe, RecipeError
from overtone.training.runlog import epochs_of
from overtone.training.systems import Gated
from overtone.training.trainer import Trainer
from tests.training.runs import SINGLES, assert_same, cascade, in_float32, recipe, trainer, weights_of

KINDS = {"cascade": cascade(), **{k: recipe(v, (3,)) for k, v in SINGLES.items()}}


class CutError(Exception):
    pass


def cut(broken: Trainer, after: int) -> None:
    """Run until so many epochs are finished."""
    finished = 0
    epoch = broken._epoch

    def counted(*arguments: object) -> object:
        nonlocal finished
        if finished == after:
            raise CutError
        finished += 1
        return epoch(*arguments)  # type: ignore[arg-type]

    broken._epoch = counted  # type: ignore[assignment, method-assign]
    with pytest.raises(CutError):
        broken.run()


@pytest.mark.parametrize("ema", [0.0, 0.5])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_resumed_equals_uninterrupted(picture_folder: Path, tmp_path: Path, ema: float, after: int) -> None:
    chosen = cascade(ema=ema)
    whole = weights_of(chosen, picture_folder, tmp_path / "whole")
    cut(trainer(chosen, picture_folder, tmp_path / "broken"), after)
    assert_same(whole, weights_of(chosen, picture_folder, tmp_path / "broken"))
    logs = [list(epochs_of(tmp_path / name / "log.jsonl")) for name in ("whole", "broken")]
    assert [(e.step, e.epoch, e.loss) for e in logs[0]] == [(e.step, e.epoch, e.loss) for e in logs[1]]


@pytest.mark.parametrize("kind", sorted(SINGLES))
def test_single_networks_train_and_resume(kind: str, picture_folder: Path, tmp_path: Path) -> None:
    """In one step; the gate's noise and MobileNet's dropout are drawn again as they were."""
    chosen = KINDS[kind]
    whole = weights_of(chosen, picture_folder, tmp_path / "whole")
    cut(trainer(chosen, picture_folder, tmp_path / "broken"), 2)
    assert_same(whole, weights_of(chosen, picture_folder, tmp_path / "broken"))
    fresh = trainer(chosen, picture_folder, tmp_path / "fresh").system.module.state_dict()
    trained = [k for k, v in fresh.items() if not torch.equal(v, whole[k])]
    assert {
        k for k, _ in trainer(chosen, picture_folder, tmp_path / "names").system.module.named_parameters()
    } <= {*trained}


def test_a_killed_run_goes_on(picture_folder: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle costs at most the epoch under way, and the numbers stay the same."""
    chosen = recipe(SINGLES["frequency"], (6,))
    (tmp_path / "recipe.json").write_text(chosen.model_dump_json())
    script = (
        "from pathlib import Path; import torch; torch.set_num_threads(1)\n"
        "from training.recipe import Recipe; from tests.training.runs import trainer\n"
        f"root = Path({str(tmp_path)!r}); text = (root / 'recipe.json').read_text()\n"
        "trainer(Recipe.model_validate_json(text), root, root / 'killed').run()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    log = tmp_path / "killed" / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= 2):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert log.read_text().count("\n") >= 2
    resumed = weights_of(chosen, picture_folder, tmp_path / "killed")
    assert_same(weights_of(chosen, picture_folder, tmp_path / "whole"), resumed)
    assert [e.epoch for e in epochs_of(log)] == [*range(6)]


def test_finished_run_is_not_trained_again(picture_folder: Path, tmp_path: Path) -> None:
    first = weights_of(cascade(), picture_folder, tmp_path / "run")
    assert_same(first, weights_of(cascade(), picture_folder, tmp_path / "run"))
    log = list(epochs_of(tmp_path / "run" / "log.jsonl"))
    assert [(e.step, e.epoch, e.size) for e in log] == [(0, 0, 48), (0, 1, 64), (1, 0, 48), (1, 1, 64)]
    assert [e.calibration_top1 is None for e in log] == [True, False, True, False]
    assert all(e.seconds > 0 for e in log)


@pytest.mark.parametrize("structure", [1, 2, 3])
def test_second_step_leaves_the_first_alone(structure: int, picture_folder: Path, tmp_path: Path) -> None:
    network = trainer(cascade(structure, ema=0.0), picture_folder, tmp_path / "run")
    module = network.system.module
    kept: dict[str, torch.Tensor] = {}
    step = network._step

    def watched(number: int, *rest: object) -> None:
        if number == 1:
            parts = network.system.steps()[0]
            frozen = {id(t) for m in parts for t in m.state_dict(keep_vars=True).values()}
            state = module.state_dict(keep_vars=True)
            kept.update({k: v.detach().clone() for k, v in state.items() if id(v) in frozen})
        step(number, *rest)  # type: ignore[arg-type]

    network._step = watched  # type: ignore[method-assign, assignment]
    after = network.run().module.state_dict()
    assert kept
    for key, value in kept.items():
        torch.testing.assert_close(after[key], value, rtol=0, atol=0)
    assert {k for k in after if k not in kept and "norm" not in k}


@pytest.mark.parametrize("kind", ["cascade", "frequency", "chosen", "rgb"])
def test_normalisation_is_that_of_the_inputs(kind: str, picture_folder: Path, tmp_path: Path) -> None:
    chosen = KINDS[kind].model_copy(update={"epochs": (0, 0)[: KINDS[kind].network.steps]})
    network = trainer(chosen, picture_folder, tmp_path / "run")
    module = network.run().module
    pictures = TestSet(network.train, 64)
    x = network.inputs.exact(torch.stack([pictures[i][0] for i in range(len(pictures))]))
    norm = module.low_norm if isinstance(module, Cascade) else module.get_submodule("norm")
    assert isinstance(norm, Normalise)
    normalised = norm(x[:, : len(norm.mean)])
    zeros = torch.zeros(normalised.shape[1])
    torch.testing.assert_close(normalised.mean(dim=(0, 2, 3)), zeros, atol=2e-3, rtol=0)
    torch.testing.assert_close(normalised.std(dim=(0, 2, 3)), zeros + 1, atol=1e-2, rtol=0)


@pytest.mark.parametrize("better", ["last", "mean"])
def test_the_better_of_last_and_averaged_weights_is_kept(
    better: str, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = trainer(cascade(epochs=(1, 0), ema=0.5), picture_folder, tmp_path / "run")
    score = {"last": (1.0, 0.5), "mean": (0.5, 1.0)}[better]
    monkeypatch.setattr(network, "_score", lambda _, system: score[system is not network.system])
    kept = network.run().module.state_dict()
    saved = load_file(tmp_path / "run" / "last.safetensors")
    prefix = {"last": "model.", "mean": "ema.module."}[better]
    key = "high_body.stages.0.0.conv1.0.weight"
    torch.testing.assert_close(kept[key], saved[prefix + key], rtol=0, atol=0)
    assert not torch.equal(saved["model." + key], saved["ema.module." + key])


def test_another_recipe_is_refused(picture_folder: Path, tmp_path: Path) -> None:
    trainer(cascade(epochs=(1, 0)), picture_folder, tmp_path / "run").run()
    with pytest.raises(ValueError, match="another recipe"):
        trainer(cascade(epochs=(3, 3)), picture_folder, tmp_path / "run").run()


def frozen_statistics(network: Trainer) -> Trainer:
    """Batch normalisation as in eval mode, so that a picture's gradient does not depend on its batch."""
    for layer in network.system.module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.train = lambda mode=True, layer=layer: nn.Module.train(layer, False)  # type: ignore[method-assign, misc]
    return network


@pytest.mark.parametrize("parts", [2, 3])
def test_accumulated_parts_are_the_whole_batch(
    parts: int, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overtone.training.trainer.autocast", in_float32)

    def run(accumulate: int) -> dict[str, torch.Tensor]:
        chosen = recipe(SINGLES["frequency"], (2,), accumulate=accumulate)
        network = frozen_statistics(trainer(chosen, picture_folder, tmp_path / str(accumulate)))
        return dict(network.run().module.state_dict())

    assert_same(run(1), run(parts), rtol=1e-4, atol=1e-5)


def test_accumulation_moves_running_statistics_once(picture_folder: Path, tmp_path: Path) -> None:
    """As far as one batch moves them: the first layer's are then those of the whole batch."""
    key = "low_stem.1.running_mean"

    def run(accumulate: int) -> torch.Tensor:
        chosen = cascade(epochs=(1, 0), accumulate=accumulate, lr=1e-9, batch=16)
        return weights_of(chosen, picture_folder, tmp_path / str(accumulate))[key]

    torch.testing.assert_close(run(2), run(1), rtol=1e-3, atol=1e-4)


def test_too_small_a_batch_to_share(picture_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be shared"):
        trainer(cascade(batch=64, accumulate=40), picture_folder, tmp_path / "run")


def test_low_learns_from_high(picture_folder: Path, tmp_path: Path) -> None:
    network = trainer(cascade(distil=0.25), picture_folder, tmp_path / "run")
    network.system.module.eval()
    x, target = torch.randn(3, 24, 8, 8), torch.tensor([0, 1, 1])
    plain = torch.tensor([[0.95, 0.05], [0.05, 0.95], [0.05, 0.95]])
    torch.testing.assert_close(network._goal(0, x, target), plain)
    taught = network.system.logits(0, x).softmax(1).detach()
    torch.testing.assert_close(network._goal(1, x, target), 0.75 * plain + 0.25 * taught)


def test_the_gate_pays_for_open_channels(picture_folder: Path, tmp_path: Path) -> None:
    system = trainer(KINDS["gate"], picture_folder, tmp_path / "run").system
    assert isinstance(system, Gated)
    system.logits(0, torch.randn(2, 192, 8, 8))
    penalty = float(system.penalty().detach())
    assert penalty == pytest.approx(0.5 * float(system.network.open_share.detach()))
    assert penalty > 0


def train(
    chosen: Recipe, pictures: Path, out: Path, monkeypatch: pytest.MonkeyPatch, **options: object
) -> Path:
    monkeypatch.setattr(commands, "load_recipe", lambda name: chosen)
    return commands.train("tiny", pictures, out, workers=0, device="cpu", **options)  # type: ignore[arg-type]


def test_train_command_writes_a_certified_checkpoint(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    path = train(cascade(), picture_folder, out, monkeypatch)
    model, card = load(path)
    assert card.classes == ("cold", "warm")
    assert card.training is not None
    assert card.training.images == 22
    assert card.training.calibration_images == 2
    assert card.accuracy[0].n == 6
    stored = load_file(path)
    assert stored["low_body.stages.0.0.conv1.0.weight"].dtype == torch.float16
    assert stored["low_norm.mean"].dtype == torch.float32
    with pytest.raises(RecipeError, match="--resume"):
        commands.train("tiny", picture_folder, out, workers=0, device="cpu")
    capsys.readouterr()
    evaluate(str(path), picture_folder, as_json=True, device="cpu")
    found = json.loads(capsys.readouterr().out)
    assert found["n"] == 6
    assert found["size"] == 64
    assert found["cascade"]["top1"] == card.accuracy[0].cascade
    assert found["cascade"]["mean_payload_bytes"] == card.accuracy[0].mean_bytes
    assert not model.training
    run = json.loads((out / "run.json").read_text())
    assert [r["quality"] for r in run["results"]] == list(card.profile.qualities)
    default = next(r for r in run["results"] if r["default"])
    assert default["cascade"] == {"top1": card.accuracy[0].cascade, "top5": 1.0}
    assert default["mean_bytes"] == card.accuracy[0].mean_bytes
    assert default["step"] == card.profile.low_steps(card.profile.quality)[0]
    assert run["cost"]["low_macs"] == card.cost.low_macs
    assert (out / "curves.png").stat().st_size > 1000


@pytest.mark.parametrize(("kind", "steps"), [("frequency", [64, 32]), ("rgb", [None])])
def test_train_command_keeps_a_single_network(
    kind: str,
    steps: list[int | None],
    picture_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "run"
    path = train(KINDS[kind], picture_folder, out, monkeypatch, seed=5, epochs=(1,))
    trained = weights.load(path)
    assert trained.classes == ("cold", "warm")
    assert trained.recipe == KINDS[kind].model_copy(update={"seed": 5, "epochs": (1,)})
    run = json.loads((out / "run.json").read_text())
    name = picture_folder.name
    assert run["command"] == f"overtone train tiny --data {name} --epochs 1 --seed 5"
    assert Recipe.model_validate(run["recipe"]) == trained.recipe
    assert (run["name"], run["data"], run["seed"]) == ("tiny", name, 5)
    assert (run["images"], run["calibration_images"]) == (22, 2)
    assert run["seconds"] == sum(e["seconds"] for e in run["epochs"]) > 0
    assert [r["step"] for r in run["results"]] == steps
    assert all(r["data"] == f"{name}/val" and r["n"] == 6 and r["top5"] == 1 for r in run["results"])
    assert set(run["cost"]) == {"parameters", "macs", "low_macs", "size"}
    assert set(run["machine"]) == {"processor", "cores", "device"}


def test_a_run_starts_from_anothers_weights(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(KINDS["frequency"], picture_folder, tmp_path / "first", monkeypatch)
    nothing = KINDS["frequency"].model_copy(update={"epochs": (0,)})
    again = train(nothing, picture_folder, tmp_path / "again", monkeypatch, start=str(first))
    assert_same(load_file(first), load_file(again))
    with pytest.raises(ValueError, match="another network"):
        train(KINDS["rgb"], picture_folder, tmp_path / "other", monkeypatch, start=str(first))


def test_a_cascade_starts_from_a_checkpoint(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(cascade(), picture_folder, tmp_path / "first", monkeypatch)
    again = train(cascade(epochs=(0, 0)), picture_folder, tmp_path / "again", monkeypatch, start=str(first))
    assert_same(load_file(first), load_file(again))


def test_interrupted_draws_its_curves_and_says_how_to_go_on(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = Trainer._epoch
    finished: list[int] = []

    def interrupted(self: Trainer, *arguments: object) -> object:
        if finished:
            os.kill(os.getpid(), signal.SIGINT)
        finished.append(1)
        return epoch(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt, match="--resume"):
        train(KINDS["frequency"], picture_folder, tmp_path / "run", monkeypatch)
    assert (tmp_path / "run" / "curves.png").exists()
    monkeypatch.setattr(Trainer, "_epoch", epoch)
    path = train(KINDS["frequency"], picture_folder, tmp_path / "run", monkeypatch, resume=True)
    whole = train(KINDS["frequency"], picture_folder, tmp_path / "whole", monkeypatch)
    assert_same(load_file(whole), load_file(path))


def test_numbers_of_epochs() -> None:
    assert commands.numbers("28,30", "--epochs", "numbers") == (28, 30)
    assert commands.numbers(None, "--epochs", "numbers") is None
    assert commands.changed(cascade(), None, (3,), None, None).epochs == (3, 3)
    for text in ("many", "", "3,0", "-3"):
        with pytest.raises(RecipeError, match=f"^--bytes {text}: give numbers$"):
            commands.numbers(text, "--bytes", "numbers")
    with pytest.raises(RecipeError, match="1 step"):
        commands.changed(KINDS["rgb"], None, (3, 3), None, None)


def test_a_size_of_nothing_is_a_size() -> None:
    with pytest.raises(RecipeError, match="size: "):
        commands.changed(cascade(), 0, None, None, None)
