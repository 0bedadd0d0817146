"""The package for npm: what is in it, and that it works where it is installed."""

import base64
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest

from overtone import __version__
from overtone.frequency import Profile, encode, encode_region
from tests.frequency.test_regions import MASK
from tests.javascript.conftest import NODE, PACKAGE, ROOT, project, run

GOLDEN = ROOT / "tests" / "frequency" / "golden"
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
    squares, pictures = (json.loads((GOLDEN / f"{n}-v3.json").read_text()) for n in ("pixels", "letter-box"))
    packed_mask = MASK.pack().hex()
    given = squares | {"mask": packed_mask, "after": 2}
    payloads, boxed, region = await run(project(tmp_path, packed), golden=given)
    assert payloads == list(squares["payloads"].values())
    assert boxed == list(pictures["payloads"].values())
    profile = Profile.from_json(json.dumps(pictures["profile"]))
    square = np.frombuffer(base64.b64decode(pictures["letter_boxed"]), np.uint8)
    sent = encode(square.reshape(profile.size, profile.size, 3), profile)
    assert region == [payload.hex() for payload in encode_region(sent, profile, MASK, 2).layers]


def test_everything_that_it_exports_has_a_type() -> None:
    names = re.findall(r"export \{ (.*) \}", (PACKAGE / "client" / "index.js").read_text())
    exported = {name for group in names for name in group.split(", ")}
    declared = (PACKAGE / "client" / "index.d.ts").read_text()
    assert exported == set(re.findall(r"^export (?:class|function) (\w+)", declared, re.MULTILINE))
