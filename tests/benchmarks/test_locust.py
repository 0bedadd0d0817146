import csv
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from benchmarks.demo import Served, serving
from benchmarks.load import Outcome, Parcel, Tally, prepare
from frequency import Encoded, Profile

LOCUSTFILE = Path(__file__).parents[2] / "benchmarks" / "locustfile.py"
PARCEL = Parcel(Encoded(b"low", b"high", 2), truth=3)
pytestmark = pytest.mark.timeout(600)


def test_tally() -> None:
    tally, other = Tally(), Tally()
    tally.add(Outcome("low", 3, 100), PARCEL)
    tally.add(Outcome("high", 4, 300), PARCEL)
    other.add(Outcome("brownout", 3, 100), Parcel(PARCEL.encoded, None))
    other.failed += 1
    tally.merge(other.take())
    assert other == Tally()
    assert tally.figures() == {
        "pictures": 3,
        "failed": 1,
        "mean_payload_bytes": pytest.approx(500 / 3),
        "exit_share": pytest.approx(2 / 3),
        "accuracy": 0.5,
        "labelled": 2,
    }
    assert Tally().figures()["accuracy"] is None


def test_pictures_are_encoded_beforehand(picture_folder: Path, tiny_profile: Profile) -> None:
    classes = ("cold", "warm", *tiny_profile.labels[2:])
    breaths: list[None] = []
    parcels, line = prepare(tiny_profile, classes, picture_folder, 4, 1, lambda: breaths.append(None))
    assert [parcel.truth for parcel in parcels] == [0, 1, 0, 1]
    assert all(parcel.encoded.quality == 1 for parcel in parcels)
    assert len(breaths) == len(parcels)
    assert line == f"4 pictures from {picture_folder}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tiny_checkpoint: Path) -> AsyncIterator[Served]:
    async with serving(str(tiny_checkpoint), "--threads", "1") as server:
        yield server


def locust(folder: Path, host: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
    command += ["-u", "2", "-r", "2", "-t", "2s", "--host", host, "--csv", str(folder / "load"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "load_stats.csv").open() as file:
        return {row["Name"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize(
    ("transport", "scheme", "kind", "policy"),
    [("grpc", "grpc", "GrpcDevice", "at_once"), ("rest", "http", "RestDevice", "on_demand")],
)
def test_load(
    served: Served, picture_folder: Path, tmp_path: Path, transport: str, scheme: str, kind: str, policy: str
) -> None:
    host = f"{scheme}://{served.addresses[transport]}"
    always = ("--pictures", str(picture_folder), "--operating-point", "always")
    done = locust(tmp_path, host, *always, kind)
    assert done.returncode == 0, done.stderr
    low = rows(tmp_path)["low"]
    assert (low["Type"], low["Failure Count"]) == (transport, "0")
    assert int(low["Request Count"]) > 0
    told = re.search(r"failed 0, mean_payload_bytes ([\d.,]+), exit_share 1", done.stderr)
    assert told is not None, done.stderr
    assert float(low["Average Content Size"]) == pytest.approx(float(told[1]), abs=0.1)

    never = ("--pictures", str(picture_folder), "--operating-point", "never", "--policy", policy)
    # No class is named: the address says which.
    done = locust(tmp_path, host, *never)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path).keys() == {"high", "Aggregated"}
    assert float(rows(tmp_path)["high"]["Average Content Size"]) > float(low["Average Content Size"])


def test_no_server(tmp_path: Path, picture_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        for scheme in ("grpc", "http"):
            done = locust(tmp_path, f"{scheme}://{host}", "--pictures", str(picture_folder))
            assert done.returncode == 1
            assert "refused" in done.stderr
            assert "Traceback" not in done.stderr
