import os
import signal
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from overtone import command
from overtone.benchmarks.demo import command as demo
from overtone.benchmarks.demo.command import Options
from overtone.benchmarks.demo.scoreboard import Scoreboard
from overtone.benchmarks.demo.summary import show, summarise
from overtone.edge_client.output import Row
from overtone.link.rate import UNLIMITED, Rate

LOW = Row("a/tench/1.jpg", "tench", "tench", 0.9, "low", 1, 500, 600, 100, 60.0, 4000)
HIGH = replace(
    LOW, label="church", stage="high", layers=2, payload_bytes=1500, link_bytes_up=1700, latency_ms=160.0
)
FLAT = replace(LOW, path="1.jpg", truth=None)
ABOUT: dict[str, Any] = {
    "model": "imagenette",
    "size": 224,
    "pictures": "photos",
    "note": "",
    "transport": "grpc",
    "policy": "auto",
}


def test_summary() -> None:
    found = summarise([LOW, HIGH, FLAT], (500, 7000), (80, 9000), 1, Rate.parse("1mbit"), 0.05, ABOUT)
    assert (found["n"], found["failed"], found["labelled"], found["accuracy"]) == (3, 1, 2, 0.5)
    assert found["exit_share"] == pytest.approx(2 / 3)
    assert found["answered_after"] == pytest.approx({"1": 2 / 3, "2": 1 / 3})
    assert found["mean_payload_bytes"] == pytest.approx(2500 / 3)
    assert found["mean_link_bytes_up"] == pytest.approx(2900 / 3)
    assert found["payload_to_jpeg"] == pytest.approx(2500 / 12_000)
    assert found["latency_p50_ms"] == 60.0
    assert found["jpeg_link_seconds"] == pytest.approx(3 * ((4000 + 3 * 52) * 8 / 1e6 + 0.05))
    assert (found["setup_link_bytes_up"], found["setup_link_bytes_down"]) == (500, 7000)
    assert (found["tables_link_bytes_up"], found["tables_link_bytes_down"]) == (80, 9000)


def test_without_classes_there_is_no_accuracy() -> None:
    found = summarise([FLAT], (0, 0), (0, 0), 0, UNLIMITED, 0.05, ABOUT)
    assert (found["accuracy"], found["rate"]) == (None, "unlimited")
    assert found["jpeg_link_seconds"] == pytest.approx(0.05)


def test_the_table_and_the_summary() -> None:
    console = Console(file=StringIO(), width=command.PLAIN_WIDTH)
    with Scoreboard(console, 3) as board:
        for row in (LOW, HIGH, FLAT, replace(LOW, stage="brownout")):
            board.add(row)
    about = ABOUT | {"note": "far away"}
    show(console, summarise([LOW, HIGH, FLAT], (0, 0), (0, 0), 1, Rate.parse("1mbit"), 0.05, about))
    assert isinstance(console.file, StringIO)
    heading, low, high, flat, busy, *rest = console.file.getvalue().splitlines()
    assert heading.split()[:3] == ["image", "answer", "sure"]
    assert "✓  tench" in low
    assert "✗  church" in high
    assert "▲ high" in high
    assert not set("✓✗▲") & set(flat)
    assert "busy" in busy
    text = "\n".join(rest)
    for words in ("50.0% of 2 correct, 1 failed", "112 pixels", "21% of that", "far away", "1: 67%, 2: 33%"):
        assert words in text


def test_a_line_in_a_narrow_terminal_stays_one_line() -> None:
    console = Console(file=StringIO(), width=80)
    with Scoreboard(console, 1) as board:
        board.add(replace(LOW, path=f"{'long/' * 20}name.jpg", label="English springer spaniel"))
    assert isinstance(console.file, StringIO)
    assert len(console.file.getvalue().splitlines()) == 2


@pytest.mark.parametrize(
    ("options", "count", "message"),
    [
        ({"rate": "fast"}, 1, "rate"),
        ({"rtt": "slow"}, 1, "duration"),
        ({}, 0, "at least one"),
        ({"policy": "foo"}, 1, "no policy 'foo': choose from auto"),
        ({"transport": "foo"}, 1, "no transport 'foo': choose from grpc"),
        ({"model": "foo"}, 1, "foo: no such checkpoint"),
    ],
)
def test_options_are_checked_before_anything_is_started(
    picture_folder: Path, options: dict[str, Any], count: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        demo.run(picture_folder, count=count, options=Options(**options))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are found through /proc")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)])
def test_when_stopped_it_leaves_no_process(
    tiny_checkpoint: Path, picture_folder: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "overtone", "demo", "--images", str(picture_folder), "--rtt", "400ms"]
    with subprocess.Popen(
        [*command, "--model", str(tiny_checkpoint)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        assert "images from" in process.stdout.readline()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 2
        process.send_signal(number)
        assert process.wait() == 130
        assert process.stderr is not None
        assert process.stderr.read() == "overtone: interrupted\n"
    assert not any(Path(f"/proc/{child}").exists() for child in children)
