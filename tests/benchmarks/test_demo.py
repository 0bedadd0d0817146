import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from overtone.benchmarks.demo import command as demo
from overtone.benchmarks.demo.command import Options
from overtone.benchmarks.demo.scoreboard import Scoreboard
from overtone.benchmarks.demo.summary import Setting, Summary, show
from overtone.benchmarks.link.rate import UNLIMITED, Rate, UnitError
from overtone.edge_client.output import Row

LOW = Row("a/tench/1.jpg", "tench", "tench", 0.9, "low", 500, 600, 100, 60.0, 4000)
HIGH = replace(LOW, label="church", stage="high", payload_bytes=1500, link_bytes_up=1700, latency_ms=160.0)
FLAT = replace(LOW, path="1.jpg", truth=None)
SETTING = Setting("imagenette", 224, "photos", "", "grpc", "auto", Rate.parse("1mbit"), 0.05)


def test_summary() -> None:
    summary = Summary.of(SETTING, [LOW, HIGH, FLAT], setup=(500, 7000), failed=1)
    assert (summary.n, summary.failed, summary.labelled, summary.accuracy) == (3, 1, 2, 0.5)
    assert summary.exit_share == pytest.approx(2 / 3)
    assert summary.mean_payload_bytes == pytest.approx(2500 / 3)
    assert summary.mean_link_bytes_up == pytest.approx(2900 / 3)
    assert summary.payload_to_jpeg == pytest.approx(2500 / 12_000)
    assert summary.latency_p50_ms == 60.0
    assert summary.jpeg_link_seconds == pytest.approx(3 * ((4000 + 3 * 52) * 8 / 1e6 + 0.05))
    assert (summary.setup_link_bytes_up, summary.setup_link_bytes_down) == (500, 7000)


def test_nothing_is_known_of_flat_folders() -> None:
    summary = Summary.of(replace(SETTING, rate=UNLIMITED, note="far away"), [FLAT], setup=(0, 0), failed=0)
    assert summary.accuracy is None
    assert summary.jpeg_link_seconds == pytest.approx(0.05)
    assert asdict(summary)["rate"] == "unlimited"


def test_what_people_see() -> None:
    console = Console(file=StringIO(), width=demo.PLAIN_WIDTH)
    with Scoreboard(console, 3) as board:
        for row in (LOW, HIGH, FLAT, replace(LOW, stage="brownout")):
            board.add(row)
    show(console, Summary.of(replace(SETTING, note="far away"), [LOW, HIGH, FLAT], setup=(0, 0), failed=1))
    assert isinstance(console.file, StringIO)
    heading, low, high, flat, busy, *rest = console.file.getvalue().splitlines()
    assert heading.split()[:3] == ["picture", "answer", "sure"]
    assert "✓  tench" in low
    assert "✗  church" in high
    assert "▲ high" in high
    assert not set("✓✗▲") & set(flat)
    assert "busy" in busy
    text = "\n".join(rest)
    for words in ("50.0% of 2 right, 1 failed", "112 pixels", "21% of that", "far away"):
        assert words in text


def test_a_line_in_a_narrow_terminal_stays_one_line() -> None:
    console = Console(file=StringIO(), width=80)
    with Scoreboard(console, 1) as board:
        board.add(replace(LOW, path=f"{'long/' * 20}name.jpg", label="English springer spaniel"))
    assert isinstance(console.file, StringIO)
    assert len(console.file.getvalue().splitlines()) == 2


def test_options_are_checked_before_anything_is_started(picture_folder: Path) -> None:
    with pytest.raises(UnitError, match="rate"):
        demo.run(picture_folder, options=Options(rate="fast"))
    with pytest.raises(UnitError, match="duration"):
        demo.run(picture_folder, options=Options(rtt="slow"))
    with pytest.raises(ValueError, match="at least one"):
        demo.run(picture_folder, count=0)
    for options, message in (
        (Options(policy="foo"), "no policy 'foo': choose from auto"),  # type: ignore[arg-type]
        (Options(transport="foo"), "no transport 'foo': choose from grpc"),  # type: ignore[arg-type]
        (Options(model="foo"), "foo: no such checkpoint"),
    ):
        with pytest.raises(ValueError, match=message):
            demo.run(picture_folder, options=options)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are found through /proc")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_in_the_middle_it_leaves_nobody(
    tiny_checkpoint: Path, picture_folder: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "overtone", "demo", "--images", str(picture_folder), "--rtt", "1s"]
    with subprocess.Popen(
        [*command, "--model", str(tiny_checkpoint)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        assert "pictures from" in process.stdout.readline()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 2
        process.send_signal(number)
        assert process.wait() == 130
        assert process.stderr is not None
        assert process.stderr.read() == "overtone: interrupted\n"
    assert not any(Path(f"/proc/{child}").exists() for child in children)
