"""The Open Inference Protocol called by a stock client: pip install --no-deps tritonclient aiohttp python-rapidjson.

Its package asks for an older protobuf than ours, but works with ours. It runs in a process of its own, because both
packages have the protocol's messages, which may be registered only once.
"""

import asyncio
import base64
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from overtone.frequency import Encoded
from overtone.gpu_server.serve import Running
from tests.gpu_server.conftest import SHARED_LOOP
from tests.serving import Serve
from tests.waiting import LATER

missing = [
    name for name in ("tritonclient", "rapidjson", "aiohttp") if importlib.util.find_spec(name) is None
]
pytestmark = [
    SHARED_LOOP,
    pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed (see this file)"),
]

PROGRAM = """
import asyncio, base64, json, sys
import numpy as np

async def main(address, kind, name, *elements):
    if kind == "http":
        import tritonclient.http.aio as triton
    else:
        import tritonclient.grpc.aio as triton
    values = np.array([base64.b64decode(element) for element in elements], dtype=np.object_)
    async with triton.InferenceServerClient(address) as client:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready("tiny", "1")
        server, model = await client.get_server_metadata(), await client.get_model_metadata("tiny")
        given = triton.InferInput(name, [len(values)], "BYTES")
        given.set_data_from_numpy(values)
        result = await client.infer("tiny", [given], request_id="7", parameters={"top": 2})
        label = triton.InferRequestedOutput("label")
        few = await client.infer("tiny", [given], outputs=[label])
        assert few.as_numpy("label").shape == (1,) and few.as_numpy("layers") is None
        try:
            await client.infer("other", [given])
        except Exception as error:
            refused = str(error)
    names = ("label", "index", "probability", "layers", "stage", "confident")
    found = {name: result.as_numpy(name) for name in names}
    texts = {name: [value.decode() for value in found.pop(name)] for name in ("label", "stage")}
    numbers = {name: array.tolist() for name, array in found.items()}
    kinds = {name: str(array.dtype) for name, array in found.items()}
    print(json.dumps({"refused": refused, "kinds": kinds, **texts, **numbers}))

asyncio.run(main(*sys.argv[1:]))
"""


async def called(server: Running, kind: str, name: str, *elements: bytes) -> dict[str, Any]:
    """What the client makes of an image."""
    port = server.http_port if kind == "http" else server.grpc_port
    coded = [base64.b64encode(element).decode() for element in elements]
    return await printed_by(PROGRAM, f"{server.host}:{port}", kind, name, *coded)


async def printed_by(program: str, *arguments: str) -> dict[str, Any]:
    """What a program of its own prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *arguments, stdout=-1, stderr=-1
    )
    async with asyncio.timeout(LATER):
        printed, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    found: dict[str, Any] = json.loads(printed)
    return found


@pytest.mark.parametrize("kind", ["http", "grpc"])
@pytest.mark.parametrize("name", ["layers", "image"])
async def test_a_stock_client_is_answered(
    server: Running, encoded: Encoded, jpeg: bytes, kind: str, name: str
) -> None:
    found = await called(server, kind, name, *(encoded.layers if name == "layers" else [jpeg]))
    assert found["label"] == [f"class {index}" for index in found["index"]]
    assert len(found["label"]) == 2
    assert found["probability"][0] >= found["probability"][1] > 0
    assert found["kinds"] == {
        "index": "int32",
        "probability": "float32",
        "layers": "int32",
        "confident": "bool",
    }
    assert found["stage"][0] in ("low", "high")
    assert "no model 'other' is served here" in found["refused"]


REPOSITORY = """
import asyncio, json, sys
import tritonclient.http.aio as triton

async def main(address):
    async with triton.InferenceServerClient(address) as client:
        states = []
        for step in (client.unload_model, client.load_model):
            await step("shapes")
            index = await client.get_model_repository_index()
            states.append([(entry["name"], entry["version"], entry["state"]) for entry in index])
        try:
            await client.load_model("other")
        except Exception as error:
            print(json.dumps({"states": states, "refused": str(error)}))

asyncio.run(main(sys.argv[1]))
"""


async def test_a_stock_client_loads_and_unloads(serve: Serve, tiny_checkpoint: Path, tmp_path: Path) -> None:
    for path in ("shapes/2.safetensors", "alone.safetensors"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copyfile(tiny_checkpoint, tmp_path / path)
    async with serve(models=tmp_path, device="stub", admin_port=0) as server:
        found = await printed_by(REPOSITORY, f"127.0.0.1:{server.admin_port}")
    alone = ["alone", "1", "READY"]
    assert found["states"] == [[alone, ["shapes", "2", state]] for state in ("UNAVAILABLE", "READY")]
    assert "there is no model 'other'" in found["refused"]
