"""The command line, as programs use it."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from overtone.cli import app
from tests.end_to_end.conftest import LATER, SCHEMES, Server
from tests.promised import IMAGE_KEYS
from tests.serving import Serve

pytestmark = pytest.mark.xdist_group("end_to_end")


def overtone(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "overtone", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=2 * LATER, check=False)


@pytest.fixture
def labelled(image: Path, tmp_path: Path) -> Path:
    """Two images, in folders named after two classes."""
    for label in ("class 3", "class 4"):
        (tmp_path / label).mkdir()
        shutil.copy(image, tmp_path / label)
    return tmp_path


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_classify(server: Server, labelled: Path, transport: str) -> None:
    address = f"{SCHEMES[transport]}://{getattr(server, transport)}"
    done = overtone("classify", labelled, "--server", address, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    images = json.loads(done.stdout)["images"]
    assert [image.keys() for image in images] == [set(IMAGE_KEYS)] * 2
    assert [image["truth"] for image in images] == ["class 3", "class 4"]
    assert all(image["payload_bytes"] > 0 and image["link_bytes_up"] is None for image in images)


async def test_classify_with_and_without_the_token_of_the_server(serve: Serve, image: Path) -> None:
    async with serve(tokens="spring,autumn") as guarded:
        grpc = f"grpc://127.0.0.1:{guarded.grpc_port}"
        rest = f"http://127.0.0.1:{guarded.http_port}"
        for address, shown, code in ((grpc, (), 1), (rest, ("--token", "autumn"), 0)):
            command = ("classify", image, "--server", address, "--json", *shown)
            done = await asyncio.to_thread(overtone, *command)
            assert done.returncode == code, (address, shown, done.stderr)
            assert ("token" in done.stderr) == bool(code)


def test_demo(tiny_checkpoint: Path, labelled: Path) -> None:
    done = overtone(
        "demo", "--model", tiny_checkpoint, "--images", labelled, "--json", "--rate", "4mbit", "--rtt", "10ms"
    )
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    assert document.keys() == {"images", "summary"}
    assert [image.keys() for image in document["images"]] == [set(IMAGE_KEYS)] * 2
    for image in document["images"]:
        assert image["link_bytes_up"] > image["payload_bytes"] > 0
        assert image["link_bytes_down"] > 0
    summary = document["summary"]
    assert (summary["n"], summary["failed"], summary["labelled"]) == (2, 0, 2)
    assert summary["setup_link_bytes_down"] > 0


def test_demo_says_what_is_wrong(labelled: Path, tmp_path: Path) -> None:
    for arguments, words in (
        (("--images", labelled, "--model", tmp_path / "none.safetensors"), "no such checkpoint"),
        (("--images", tmp_path / "none"), "no such folder"),
        (("--images", labelled, "--rate", "fast"), "cannot read the rate"),
    ):
        done = CliRunner().invoke(app, ["demo", *map(str, arguments)])
        assert done.exit_code == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr
