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
SOURCES = ["examples/c/classify.c", "frequency/device.c", "frequency/coder.c", "frequency/wasm/image.c"]

pytestmark = pytest.mark.skipif(not shutil.which("curl-config"), reason="no libcurl with headers")


async def test_a_device_in_c_gets_the_same_answer(
    serve: Serve, photograph: Photograph, tmp_path: Path
) -> None:
    image = tmp_path / "photograph.ppm"
    Image.fromarray(photograph).save(image)
    async with serve() as server:
        address = f"http://127.0.0.1:{server.http_port}"
        async with AsyncClient(address, policy="on_demand") as client:
            expected = await client.classify(image)
        arguments = ["c-profile", "--server", address, "--out", str(tmp_path / "profile.h")]
        written = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert written.exit_code == 0, written.output
        program = tmp_path / "classify"
        include = ["-I", str(tmp_path), "-I", "frequency"]
        command = ["cc", "-O0", "-DOVERTONE_PLAIN", *include, *SOURCES, "-lcurl", "-lm", "-o", str(program)]
        await asyncio.to_thread(subprocess.run, command, check=True, cwd=ROOT)
        process = await asyncio.create_subprocess_exec(program, address, image, stdout=subprocess.PIPE)
        said, _ = await process.communicate()
    a = expected
    assert (
        said.decode()
        == f"{a.label} {a.confidence:.3f}, {a.layers} of 2 layers, {a.bytes_sent} payload bytes\n"
    )
