import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from overtone.benchmarks.server import Server

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("benchmarks")]
PLAN = """
title = "Of a test"
model = "{model}"
images = 4
equal = "webp-32-50"
timelines = ["wifi"]
[[grid]]
name = "links"
links = ["{link}"]
policies = ["auto", "on_demand"]
uploads = ["webp-32-50", "jpeg-64-75"]
images = {images}
warmup = 0
[[grid]]
name = "accuracy"
links = ["unlimited"]
policies = ["on_demand"]
qualities = [1, 3]
operating_points = ["never"]
devices = [2]
images = 4
"""


def command(folder: Path, model: Path, link: str = "wifi", images: int = 2) -> list[str]:
    plan = folder / "plan.toml"
    plan.write_text(PLAN.format(model=model, link=link, images=images))
    options = ["--data", str(folder), "--out", str(folder / "out")]
    return [sys.executable, "-m", "overtone", "bench", "sweep", str(plan), *options]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines()]


def test_a_sweep_continues_where_it_stopped(
    server: Server, tiny_checkpoint: Path, labelled_folder: Path
) -> None:
    ports = {name: address.rpartition(":")[2] for name, address in server.addresses.items()}
    run = command(labelled_folder, tiny_checkpoint)
    run += ["--host", "127.0.0.1", "--grpc-port", ports["grpc"], "--http-port", ports["rest"]]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first = lines(labelled_folder)
    assert [line["type"] for line in first].count("run") == 6
    assert (labelled_folder / "out" / "report.html").is_file()
    # One run is removed, and only that is made again.
    removed = next(i for i, line in enumerate(first) if line["type"] == "run")
    kept = [json.dumps(line) for i, line in enumerate(first) if i != removed]
    (labelled_folder / "out" / "results.jsonl").write_text("\n".join(kept) + "\n")
    again = subprocess.run(run, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "6 runs, 5 of them measured already" in again.stderr
    keys = [line["key"] for line in lines(labelled_folder) if line["type"] == "run"]
    assert sorted(keys) == sorted(line["key"] for line in first if line["type"] == "run")


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are found through /proc")
def test_when_interrupted_it_leaves_no_process_and_says_how_to_continue(
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
        assert "the same command continues where it stopped" in process.stderr.read()
        assert process.wait() == 130
    assert not any(Path(f"/proc/{child}").exists() for child in children)
