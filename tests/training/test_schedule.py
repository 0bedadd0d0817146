from dataclasses import replace

import pytest
import torch

from overtone.training.progress import duration
from overtone.training.run_log import Epoch
from overtone.training.schedule import FEWEST_EPOCHS, MOST_EPOCHS, Schedule, plan_schedule
from tests.training.tiny_bodies import recipe

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overtone.training.schedule.seconds_per_image", lambda *_: 0.1 / 1.3)
    monkeypatch.setattr("overtone.training.schedule.fitting_seconds", lambda *_: 0.0)


def epochs(images: int, minutes: float | None = None) -> int:
    first, second = plan_schedule(recipe(), images, 100, 2, CPU, minutes).recipe.epochs
    assert first == second
    return first


def test_epochs_show_30_000_views_within_bounds() -> None:
    assert epochs(3_000) == 10
    assert epochs(100) == MOST_EPOCHS
    assert epochs(1_000_000) == FEWEST_EPOCHS


def test_epochs_fit_the_time() -> None:
    # 2,000 images take 400 s an epoch of both networks; the end takes 100 * 3 * 0.2 / 3 = 20 s.
    assert epochs(2_000, minutes=(5 * 400 + 20) / 60 + 0.01) == 5
    assert epochs(2_000, minutes=1) == FEWEST_EPOCHS


def test_few_images_make_small_batches() -> None:
    chosen = recipe(batch=64)
    sizes = [plan_schedule(chosen, n, 10, 2, CPU, None).recipe.optimiser.batch for n in (40, 160, 5_000)]
    assert sizes == [8, 20, 64]


def test_a_gpu_trains_longer_and_at_full_size() -> None:
    small = recipe().changed(progressive=((0.5, 32),))
    assert plan_schedule(small, 10_000, 10, 2, torch.device("cuda"), None).recipe.epochs == (12, 12)
    assert plan_schedule(small, 10_000, 10, 2, torch.device("cuda"), None).recipe.progressive == ()
    assert plan_schedule(small, 10_000, 10, 2, CPU, None).recipe.progressive == ((0.5, 32),)


def test_time_left_follows_the_epochs_that_were_finished(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = recipe(epochs=(2, 2)).changed(progressive=((0.5, 32),))
    found = Schedule(chosen, (0.1, 0.2), images=1000, measured=300)
    # Half the side is a quarter of the work.
    assert [found.epoch(0, 0), found.epoch(1, 1)] == [25, 200]
    assert found.seconds == 25 + 100 + 50 + 200 + 30
    line = Epoch(0, 0, 32, 0.1, 1.0, 0.5, None, 10)
    # Twice as slow as predicted.
    found._started -= 50
    found.report(line)
    assert capsys.readouterr().out.strip() == "about 13 min left"
    found.report(replace(line, step=1, epoch=1))


def test_durations() -> None:
    assert [duration(s) for s in (20, 600, 9000)] == ["about 20 s", "about 10 min", "about 2.5 h"]


def test_tables_take_time_after_the_last_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overtone.training.schedule.fitting_seconds", lambda *_: 240.0)
    found = plan_schedule(recipe(), 2_000, 100, 2, CPU, minutes=(5 * 400 + 20) / 60 + 0.01)
    assert found.recipe.epochs == (4, 4)
    assert found.after(1, 3) == pytest.approx(240 + 20)
