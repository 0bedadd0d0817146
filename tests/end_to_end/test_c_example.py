"""The example of a device in C against a real server: the answer and the bytes of the Python client."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from overtone import AsyncClient
from overtone.cli import app
from tests.conftest import Photograph
from tests.serving import Serve

ROOT = Path(__file__).parents[2]
SOURCES = [f"frequency/{name}.c" for name in ("device", "block_mask", "coder", "wasm/image")]

pytestmark = pytest.mark.skipif(not shutil.which("curl-config"), reason="no libcurl with headers")


async def said(example: str, address: str, image: Photograph, folder: Path) -> list[str]:
    """What an example prints of an image, built for the profile of a server."""
    Image.fromarray(image).save(folder / "image.ppm")
    arguments = ["c-profile", "--server", address, "--out", str(folder / "profile.h")]
    written = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert written.exit_code == 0, written.output
    program, sources = folder / example, [f"examples/c/{example}.c", *SOURCES]
    include = ["-I", str(folder), "-I", "frequency"]
    command = ["cc", "-O0", "-DOVERTONE_PLAIN", *include, *sources, "-lcurl", "-lm", "-o", str(program)]
    await asyncio.to_thread(subprocess.run, command, check=True, cwd=ROOT)
    process = await asyncio.create_subprocess_exec(
        program, address, folder / "image.ppm", stdout=subprocess.PIPE
    )
    printed, _ = await process.communicate()
    return printed.decode().splitlines()


async def test_a_device_in_c_gets_the_same_answer(
    serve: Serve, photograph: Photograph, tmp_path: Path
) -> None:
    async with serve() as server:
        address = f"http://127.0.0.1:{server.http_port}"
        async with AsyncClient(address, policy="on_demand") as client:
            a = await client.classify(photograph)
        lines = await said("classify", address, photograph, tmp_path)
    assert lines == [f"{a.label} {a.confidence:.3f}, {a.layers} of 2 layers, {a.bytes_sent} payload bytes"]


async def test_a_device_in_c_finds_the_same_things(
    serve: Serve, tiny_detector: Path, photograph: Photograph, tmp_path: Path
) -> None:
    height, width, _ = photograph.shape
    async with serve(model=str(tiny_detector)) as server:
        address = f"http://127.0.0.1:{server.http_port}"
        async with AsyncClient(address, policy="on_demand") as client:
            found = await client.detect(photograph)
        *things, last = await said("detect", address, photograph, tmp_path)
    assert last == f"{found.layers} of 2 layers, {found.bytes_sent} payload bytes"
    assert found.layers == 2, "the tiny detector is in doubt"
    assert len(things) == len(found.detections)
    for line, thing in zip(things, found.detections, strict=True):
        label, probability, *corners = line.split()
        expected = [side * of for side, of in zip(thing.box, (width, height) * 2, strict=True)]
        assert label == thing.label
        assert float(probability) == pytest.approx(thing.probability, abs=1e-3)
        assert [float(corner) for corner in corners] == pytest.approx(expected, abs=0.6)
