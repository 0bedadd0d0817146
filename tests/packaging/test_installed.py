"""The package as a wheel has it, in a clean environment: what a device gets, and what it does without torch."""

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.packaging.environments import ROOT, create, environment, requirements


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package and its metadata as in a wheel, without the coder in C, which takes long to compile."""
    out = tmp_path_factory.mktemp("built")
    command = ["setup.py", "--quiet", "egg_info", "--egg-base", out, "build_py", "--build-lib", out]
    subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, check=True)
    return out


@pytest.fixture(scope="module")
def device(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a device's environment: the package and what it requires, nothing else."""
    needed = requirements(metadata.PathDistribution(built / "overtone.egg-info"))
    python, library = create(tmp_path_factory.mktemp("device"), needed)
    for path in built.iterdir():
        (library / path.name).symlink_to(path)
    return python


def test_only_overtone_is_installed_and_a_device_downloads_less_than_a_megabyte(
    built: Path, tmp_path: Path
) -> None:
    assert {path.name for path in built.iterdir()} == {"overtone", "overtone.egg-info"}
    files = {str(path.relative_to(built)) for path in built.rglob("*")}
    needed = {
        "py.typed",
        "gpu_server/page/index.html",
        "gpu_server/page/app.js",
        "frequency/wasm/overtone.wasm",
    }
    assert {f"overtone/{name}" for name in needed} <= files
    assert not [name for name in files if name.endswith((".c", ".h"))]
    assert Path(shutil.make_archive(str(tmp_path / "built"), "zip", built)).stat().st_size < 1_000_000


def test_a_device_has_no_torch_and_says_what_to_install(device: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [device, *arguments], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
        )

    assert run("-c", "from overtone import Client").returncode == 0
    assert "No module named 'torch'" in run("-c", "import torch").stderr
    assert run("-m", "overtone", "--version").stdout.startswith("overtone ")
    refused = run("-m", "overtone", "serve")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "pip install 'overtone[server]'" in refused.stderr
