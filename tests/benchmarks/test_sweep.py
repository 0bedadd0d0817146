import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from overtone.benchmarks.demo.command import Served, serving

pytestmark = pytest.mark.timeout(600)
PLAN = """
title = "Of a test"
model = "{model}"
pictures = 4
equal = "webp-32-50"
timelines = ["wifi"]
[[grid]]
name = "links"
links = ["{link}"]
policies = ["auto", "on_demand"]
uploads = ["webp-32-50", "jpeg-64-75"]
pictures = {pictures}
warmup = 0
[[grid]]
name = "accuracy"
links = ["unlimited"]
policies = ["on_demand"]
qualities = [1, 3]
operating_points = ["never"]
devices = [2]
pictures = 4
"""


def command(folder: Path, model: Path, link: str = "wifi", pictures: int = 2) -> list[str]:
    plan = folder / "plan.toml"
    plan.write_text(PLAN.format(model=model, link=link, pictures=pictures))
    named = ["--data", str(folder), "--out", str(folder / "out")]
    return [sys.executable, "-m", "overtone", "bench", "sweep", str(plan), *named]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tiny_checkpoint: Path) -> AsyncIterator[Served]:
    async with serving(str(tiny_checkpoint), "--threads", "1") as server:
        yield server


def test_a_sweep_goes_on_where_it_stopped(
    served: Served, tiny_checkpoint: Path, labelled_folder: Path
) -> None:
    ports = {face: address.rpartition(":")[2] for face, address in served.addresses.items()}
    run = command(labelled_folder, tiny_checkpoint)
    run += ["--host", "127.0.0.1", "--grpc-port", ports["grpc"], "--http-port", ports["rest"]]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first = lines(labelled_folder)
    assert [line["type"] for line in first].count("run") == 6
    assert (labelled_folder / "out" / "report.html").is_file()
    # One run is forgotten, and only that is made again.
    forgotten = next(i for i, line in enumerate(first) if line["type"] == "run")
    kept = [json.dumps(line) for i, line in enumerate(first) if i != forgotten]
    (labelled_folder / "out" / "results.jsonl").write_text("\n".join(kept) + "\n")
    again = subprocess.run(run, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "6 runs, 5 of them measured already" in again.stderr
    keys = [line["key"] for line in lines(labelled_folder) if line["type"] == "run"]
    assert sorted(keys) == sorted(line["key"] for line in first if line["type"] == "run")


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are found through /proc")
def test_interrupted_it_leaves_nobody_and_says_how_to_go_on(
    tiny_checkpoint: Path, labelled_folder: Path
) -> None:
    run = command(labelled_folder, tiny_checkpoint, "nb-iot", 500)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(run, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        while "6 runs" not in process.stderr.readline():
            pass
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert children
        process.send_signal(signal.SIGINT)
        assert "the same command goes on where it stopped" in process.stderr.read()
        assert process.wait() == 130
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "overtone", "bench", "sweep", "nowhere.toml", "--data", str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("overtone: nowhere.toml: no such plan")
    assert len(done.stderr.splitlines()) == 1
