import json
from pathlib import Path

import pytest
import torch

from overtone.training import speed
from overtone.training.speed import Speed, cpu_seconds, measure, summary

RECIPE = """
name = "tiny"
size = 64
epochs = [1, 1]
[network]
low_width = 0.0625
high_width = 0.0625
stem = 8
layers = [1, 1, 1, 1]
[optimiser]
batch = 4
"""


def test_every_stage_is_measured(picture_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = picture_folder / "tiny.toml"
    recipe.write_text(RECIPE)
    speed.main(str(recipe), str(picture_folder), batches=1, rounds=1, workers=0, device="cpu", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert len(found["stages"]) == 6
    assert all(stage["images_per_second"] > 0 for stage in found["stages"].values())
    assert found["ratio"] > 0
    speed.main(str(recipe), str(picture_folder), batches=1, rounds=1, workers=0, device="cpu")
    assert "whole / synthetic" in capsys.readouterr().out


def test_batches_and_images_are_counted() -> None:
    calls: list[int] = []
    found = measure(lambda: calls.append(1), 3, 8, torch.device("cpu"))
    assert len(calls) == 3
    assert found.images_per_second > 0
    assert found.cpu_ms >= 0


def test_processor_time_runs() -> None:
    before = cpu_seconds()
    sum(i * i for i in range(300_000))
    assert cpu_seconds() > before


def test_summary() -> None:
    names = ("files", "memory", "augmented", "prepared", "network", "whole")
    speeds = ((9, 9), (9, 9), (900, 2.0), (900, 1.0), (100, 10.0), (80, 13.0))
    found = summary({n: Speed(*s) for n, s in zip(names, speeds, strict=True)})
    assert found["ratio"] == pytest.approx(0.8)
    assert found["data_cpu_over_network"] == pytest.approx(0.3)
