"""Wheels installed into clean environments: a device and a server, each started from an empty folder."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from overtone import __version__
from tests.packaging.environments import ROOT, create, environment, requirements

SERVING = re.compile(r"overtone serving photographs: grpc (\S+), http (\S+)")
pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both wheels, built from a copy of the sources."""
    source, out = tmp_path_factory.mktemp("source") / "overtone", tmp_path_factory.mktemp("wheels")
    built = shutil.ignore_patterns(
        ".*", "build", "*.egg-info", "__pycache__", "*.so", "tests", "docs", "runs"
    )
    shutil.copytree(ROOT, source, symlinks=True, ignore=built)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", out, source, source / "models" / "checkpoints"], check=True)
    return out


def install(folder: Path, wheels: list[Path], *extras: str) -> Path:
    """The Python of a new environment that holds the wheels and what the first of them requires, nothing else."""
    root = next(each for each in zipfile.Path(wheels[0]).iterdir() if each.name.endswith(".dist-info"))
    python, _ = create(folder, requirements(metadata.PathDistribution(root), *extras))
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    command = [*pip, "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, *map(str, wheels)], check=True)
    return python


def wheel(folder: Path, name: str) -> Path:
    """The wheel of a distribution."""
    return next(folder.glob(f"{name.replace('-', '_')}-[0-9]*.whl"))


@pytest.fixture(scope="session")
def device(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a device's environment."""
    return install(tmp_path_factory.mktemp("device"), [wheel(wheels, "overtone")])


def test_only_overtone_is_installed_and_a_device_downloads_less_than_a_megabyte(wheels: Path) -> None:
    code, data = wheel(wheels, "overtone"), wheel(wheels, "overtone-checkpoints")
    assert code.stat().st_size < 1_000_000
    tops = {name.split("/")[0] for name in zipfile.ZipFile(code).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"overtone"}
    assert "overtone/py.typed" in zipfile.ZipFile(code).namelist()
    page = {"gpu_server/page/index.html", "javascript/client/rest.js", "frequency/wasm/overtone.wasm"}
    assert {f"overtone/{name}" for name in page} <= {*zipfile.ZipFile(code).namelist()}
    shared = {name.partition("/data/")[2] for name in zipfile.ZipFile(data).namelist()}
    assert {"share/overtone/checkpoints/photographs.safetensors", "share/overtone/samples/cat.jpg"} <= shared
    roots = {name.split("/")[0].split(".")[-1] for name in zipfile.ZipFile(data).namelist()}
    assert roots == {"data", "dist-info"}


@pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="no compiler")
def test_one_wheel_serves_every_python(wheels: Path) -> None:
    code = wheel(wheels, "overtone")
    assert code.name.startswith(f"overtone-{__version__}-cp311-abi3-")
    assert "overtone/frequency/_coder.abi3.so" in zipfile.ZipFile(code).namelist()


def test_client_and_server_from_an_empty_folder(
    wheels: Path, device: Path, photograph: NDArray[np.uint8], tmp_path: Path
) -> None:
    both = [wheel(wheels, "overtone"), wheel(wheels, "overtone-checkpoints")]
    server = install(tmp_path / "server", both, "server")
    empty = tmp_path / "empty"
    empty.mkdir()
    Image.fromarray(photograph).save(tmp_path / "photograph.png")
    command: list[str | Path] = [
        server,
        "-m",
        "overtone",
        "serve",
        "--grpc-port",
        "0",
        "--http-port",
        "0",
        "--threads",
        "1",
    ]
    with subprocess.Popen(
        command, cwd=empty, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            ready = SERVING.match(process.stdout.readline())
            assert ready
            with urlopen(f"http://{ready[2]}/page/cat.jpg") as sample:
                assert sample.headers["content-type"] == "image/jpeg"
            for address in (f"grpc://{ready[1]}", f"http://{ready[2]}"):
                program = f"from overtone import Client\nwith Client({address!r}) as client:\n" + (
                    f"    print(client.classify({str(tmp_path / 'photograph.png')!r}).label)"
                )
                done = subprocess.run(
                    [device, "-c", program], cwd=empty, env=environment(), capture_output=True, text=True
                )
                assert (done.returncode, bool(done.stdout.strip())) == (0, True), done.stderr
        finally:
            process.terminate()
