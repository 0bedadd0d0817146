"""`overtone models`: what checkpoints and servers say about themselves."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from overtone.cli import app
from overtone.frequency import Profile
from overtone.gpu_server.serve import Running
from overtone.models import bundled
from tests.edge_client.fakes import in_thread
from tests.serving import Serve

KEYS = {
    *(
        "name",
        "task",
        "ap50",
        "where",
        "classes",
        "networks",
        "profile",
        "quality",
        "top1",
        "data",
        "mean_bytes",
    ),
    *("size_bytes", "licence", "origin"),
}


def models(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["models", *arguments], env={"COLUMNS": "120"})


@pytest.fixture(scope="module")
def running(serve: Serve) -> Iterator[Running]:
    """A server in a thread."""
    with in_thread(serve()) as server:
        yield server


def test_all_bundled_checkpoints_are_listed_with_what_their_cards_say() -> None:
    found = models("--json")
    assert found.exit_code == 0
    listed = {model["name"]: model for model in json.loads(found.stdout)["models"]}
    assert set(listed) == set(bundled()) >= {"photographs", "trashnet-lite"}
    assert all(set(model) == KEYS for model in listed.values())
    trash = listed["trashnet-lite"]
    assert trash["networks"] == ["tf_efficientnet_lite0", "tf_efficientnet_lite2"]
    assert (trash["classes"], trash["quality"], trash["licence"]) == (6, 5, "Apache-2.0")
    assert trash["top1"] == pytest.approx(0.927, abs=0.001)
    assert trash["mean_bytes"] == 386.25
    assert trash["size_bytes"] == bundled()["trashnet-lite"].stat().st_size


def test_people_get_a_table(tiny_checkpoint: Path) -> None:
    listed = models()
    assert listed.exit_code == 0
    (line,) = [line for line in listed.stdout.splitlines() if line.startswith("trashnet-lite")]
    assert line.split() == [
        *("trashnet-lite", "tf_efficientnet_lite0", "6", "5", "92.7%", "386", "17.1", "Apache-2.0")
    ]
    alone = models("trashnet-lite").stdout
    assert "balanced (default)" in alone
    assert "early answers lose at most 1.0%, on average" in alone
    assert "87.5%, 91.6%, 91.6%" in alone
    own = models(str(tiny_checkpoint)).stdout
    assert "always" in own
    assert "trained from the beginning" in own


def test_a_detector_is_described(tiny_detector: Path) -> None:
    found = json.loads(models(str(tiny_detector), "--json").stdout)
    assert (found["task"], found["networks"]) == ("detect", ["mobilenetv3_small_050"] * 2)
    assert (found["top1"], found["ap50"]) == (None, None)
    shown = models(str(tiny_detector)).stdout
    for text in ("none in doubt", "all in doubt", "in doubt: 0.36 to 0.38"):
        assert text in shown


def test_a_file_and_the_server_that_has_it_say_the_same(
    running: Running, tiny_checkpoint: Path, tiny_profile: Profile
) -> None:
    of_file = json.loads(models(str(tiny_checkpoint), "--json").stdout)
    for address in (f"grpc://127.0.0.1:{running.grpc_port}", f"http://127.0.0.1:{running.http_port}"):
        found = models("--server", address, "--json")
        assert found.exit_code == 0, found.stderr
        told = json.loads(found.stdout)
        assert told.pop("where") == address
        assert told.pop("size_bytes") is None
        assert told["profile"] == tiny_profile.id.hex()
        assert told["card"]["profile"]["qualities"] == [1, 2, 3]
        assert [point["name"] for point in told["card"]["operating_points"]] == ["always", "never", "default"]
        assert {key: of_file[key] for key in KEYS & told.keys()} == {
            key: told[key] for key in KEYS & told.keys()
        }
        assert "default (default)" in models("--server", address).stdout


def test_a_server_is_asked_without_torch() -> None:
    code = """
import sys
from overtone.cli import app
try:
    app(["models", "--server", "grpc://127.0.0.1:1"])
except SystemExit as ended:
    assert ended.code == 1
assert "torch" not in sys.modules
"""
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "check the address" in ended.stderr
