import csv
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from overtone.benchmarks.load.prepared import Sample
from overtone.benchmarks.load.statistics import Statistics, lines, summary
from overtone.benchmarks.server import Server

LOCUSTFILE = Path(__file__).parents[2] / "benchmarks" / "locustfile.py"
LOW = Sample(120.0, 5.0, "low", 1, True, 900, [900, 0, 0], 1000, 60, 1.0, 20.0, 1104, 164)
FILE = Sample(120.0, 5.0, "low", 0, True, 900, [], 1000, 60, 1.0, 20.0, 1104, 164)
HIGH = Sample(260.0, 5.0, "high", 3, False, 2100, [900, 500, 700], 2300, 120, 2.0, 40.0, 2508, 276)
pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("benchmarks")]


class Entry:
    """What is used of `locust.stats.StatsEntry`: locust would patch the standard library for all tests."""

    def __init__(self) -> None:
        self.num_requests = self.num_failures = self.total_content_length = 0

    def log(self, response_time: float, content_length: int) -> None:
        self.num_requests += 1
        self.total_content_length += content_length

    def log_error(self, error: Exception | None) -> None:
        self.num_failures += 1


class Environment:
    """What is used of `locust.env.Environment`: its statistics, and the event that counts into them."""

    def __init__(self) -> None:
        self.stats = SimpleNamespace(entries={}, get=self.entry)
        self.events = SimpleNamespace(request=SimpleNamespace(fire=self.fire))

    def entry(self, name: str, kind: str) -> Entry:
        entry: Entry = self.stats.entries.setdefault((name, kind), Entry())
        return entry

    def fire(self, request_type: str, name: str, response_length: int, exception: Any, **_: Any) -> None:
        entry = self.entry(name, request_type)
        entry.log(0.0, response_length)
        if exception is not None:
            entry.log_error(exception)


def test_figures_come_from_the_entries() -> None:
    environment = Environment()
    assert [name for name, _ in lines(summary(environment.stats))] == ["images", "failed", "labelled"]
    grpc, jpeg = Statistics(environment, "session"), Statistics(environment, "jpeg")
    for sample in (LOW, LOW, HIGH):
        grpc.add(sample)
    jpeg.add(FILE)
    grpc.fail(ValueError("no answer"))
    figures = summary(environment.stats)
    assert (figures.images, figures.failed, figures.labelled) == (4, 1, 4)
    assert figures.accuracy == pytest.approx(3 / 4)
    assert figures.answered_after == pytest.approx({1: 2 / 3, 3: 1 / 3})
    assert figures.sent_layer == pytest.approx({1: 1.0, 2: 1 / 3, 3: 1 / 3})
    assert figures.mean_payload_bytes == pytest.approx((3 * 900 + 2100) / 4)
    assert figures.mean_link_bytes_up == pytest.approx((3 * 1000 + 2300) / 4)
    assert environment.stats.entries["high", "judged"].num_failures == 1
    assert ("accuracy", "75.0%") in lines(figures)
    assert ("answered after", "layer 1: 66.7%, 3: 33.3%") in lines(figures)
    assert ("sent layer", "1: 100.0%, 2: 33.3%, 3: 33.3%") in lines(figures)


def locust(folder: Path, host: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
    # However slow the machine, an image that has been sent when the time is up is waited for.
    command += ["-u", "2", "-r", "2", "-t", "2s", "--stop-timeout", "120", "--host", host]
    command += ["--csv", str(folder / "load"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


Rows = dict[tuple[str, str], dict[str, str]]


def rows(folder: Path) -> Rows:
    with (folder / "load_stats.csv").open() as file:
        return {(row["Type"], row["Name"]): row for row in csv.DictReader(file)}


def count(found: Rows, kind: str, name: str) -> int:
    return int(found[kind, name]["Request Count"])


def test_low_answers_over_a_session(server: Server, labelled_folder: Path, tmp_path: Path) -> None:
    host = f"grpc://{server.addresses['grpc']}"
    arguments = ("--images", str(labelled_folder), "--operating-point", "always", "--link", "wifi")
    # No class is named, so the address decides.
    done = locust(tmp_path, host, *arguments, "--policy", "on_demand")
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path)
    answered = count(found, "session", "low")
    assert answered > 0
    assert found["session", "low"]["Failure Count"] == "0"
    assert count(found, "judged", "low") == count(found, "bytes", "link up") == answered
    # Overtone's own entries stay out of locust's total.
    assert count(found, "", "Aggregated") == answered
    assert count(found, "bytes", "layer 1") == count(found, "answered", "after layer 1") == answered
    assert ("bytes", "layer 2") not in found
    told = re.search(
        r"failed 0, .*answered after layer 1: 100.0%, .*mean payload bytes ([\d.,]+)", done.stderr
    )
    assert told is not None, done.stderr
    mean = float(found["session", "low"]["Average Content Size"])
    assert float(told[1].replace(",", "")) == pytest.approx(mean, abs=0.6)
    assert float(found["bytes", "link up"]["Average Content Size"]) > mean


@pytest.mark.soak
def test_all_other_devices_in_two_processes(server: Server, picture_folder: Path, tmp_path: Path) -> None:
    # Workers report every few seconds, so this one takes longer. Older spellings of options are accepted.
    arguments = [
        *(
            "--http",
            f"http://{server.addresses['rest']}",
            "--processes",
            "2",
            "-u",
            "8",
            "-r",
            "8",
            "-t",
            "6s",
        ),
        *("--pictures", str(picture_folder), "--operating-point", "never", "--rival-side", "32"),
    ]
    kinds = ("GrpcOneShotDevice", "RestDevice", "JpegDevice", "WebpDevice")
    done = locust(tmp_path, f"grpc://{server.addresses['grpc']}", *kinds, *arguments)
    assert done.returncode == 0, done.stderr
    found = {
        (kind, name): row
        for (kind, name), row in rows(tmp_path).items()
        if kind not in ("bytes", "answered", "")
    }
    assert found
    assert found.keys() <= {(kind, "high") for kind in ("one-shot", "rest", "jpeg", "webp")}
    assert all(row["Failure Count"] == "0" for row in found.values())
    assert re.search(r"generator worker [01], devices: busy", done.stderr)


def test_without_a_server_it_ends_at_once(tmp_path: Path, picture_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"grpc://127.0.0.1:{taken.getsockname()[1]}"
        done = locust(tmp_path, host, "--images", str(picture_folder))
    assert done.returncode == 1
    assert host in done.stderr
    assert "check the address" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_device_without_an_address_is_left_out(
    server: Server, picture_folder: Path, tmp_path: Path
) -> None:
    arguments = ("JpegDevice", "GrpcDevice", "--images", str(picture_folder))
    done = locust(tmp_path, f"grpc://{server.addresses['grpc']}", *arguments)
    assert "JpegDevice has no address: give it one with --host or --http" in done.stderr
    assert {kind for kind, _ in rows(tmp_path)} <= {"session", "bytes", "answered", "judged", ""}
