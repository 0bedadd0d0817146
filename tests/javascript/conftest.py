"""A program of Node with the package installed: ``await device(address=, images=)`` gives what it prints."""

import asyncio
import base64
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Photograph
from tests.gpu_server.conftest import three_checkpoint, three_profile

__all__ = ["three_checkpoint", "three_profile"]

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "javascript"
PROGRAM = Path(__file__).parent / "device.js"
NODE = shutil.which("node")

Device = Callable[..., Awaitable[list[Any]]]


def project(folder: Path, package: Path) -> Path:
    """The program in a folder of its own, with the package where npm would have put it."""
    modules = folder / "node_modules"
    modules.mkdir()
    (modules / "overtone-device").symlink_to(package)
    (folder / "package.json").write_text('{"type": "module"}')
    return Path(shutil.copy(PROGRAM, folder))


async def run(program: Path, **given: Any) -> list[Any]:
    """The objects that the program prints."""
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        program,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, problem = await process.communicate(json.dumps(given).encode())
    assert process.returncode == 0, problem.decode()
    return [json.loads(line) for line in said.splitlines()]


async def script(name: str, **given: Any) -> list[Any]:
    """What another program of this folder prints, which looks into files of the package."""
    if NODE is None:
        pytest.skip("no node")
    return await run(PROGRAM.with_name(name), **given)


def pixels(image: Photograph) -> dict[str, Any]:
    """An image as the program takes it."""
    height, width, _ = image.shape
    return {"rgb": base64.b64encode(image.tobytes()).decode(), "width": width, "height": height}


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """Run the program with the package of the repository."""
    if NODE is None:
        pytest.skip("no node")
    program = project(tmp_path, PACKAGE)
    return lambda **given: run(program, **given)
