"""The package for npm: what is in it, and that it works where it is installed."""

import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from overtone import __version__
from tests.javascript.conftest import NODE, PACKAGE, ROOT, project, run

GOLDEN = ROOT / "tests" / "frequency" / "golden" / "pixels-v3.json"
CODEC = ROOT / "frequency" / "wasm"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the package as it is installed."""
    if not (NODE and shutil.which("npm") and shutil.which("make")):
        pytest.skip("no node, npm or make")
    folder = tmp_path_factory.mktemp("npm")
    subprocess.run(["make", "--silent", "npm", f"NPM_OUT={folder}"], cwd=ROOT, check=True)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder / "package"


def test_it_holds_the_client_the_codec_and_its_licence(packed: Path) -> None:
    client = {f"client/{file.name}" for file in (PACKAGE / "client").iterdir()}
    codec = {f"device/{file.name}" for file in CODEC.iterdir() if file.suffix in (".js", ".wasm")}
    found = {str(file.relative_to(packed)) for file in packed.rglob("*") if file.is_file()}
    assert found == client | codec | {"package.json", "README.md", "LICENSE"}
    assert all((packed / name).read_bytes() == (CODEC / Path(name).name).read_bytes() for name in codec)
    assert json.loads((packed / "package.json").read_text())["version"] == __version__


async def test_installed_it_writes_the_golden_payloads(packed: Path, tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text())
    (payloads,) = await run(project(tmp_path, packed), golden=golden)
    assert payloads == list(golden["payloads"].values())


def test_everything_that_it_exports_has_a_type() -> None:
    names = re.findall(r"export \{ (.*) \}", (PACKAGE / "client" / "index.js").read_text())
    exported = {name for group in names for name in group.split(", ")}
    declared = (PACKAGE / "client" / "index.d.ts").read_text()
    assert exported == set(re.findall(r"^export (?:class|function) (\w+)", declared, re.MULTILINE))
