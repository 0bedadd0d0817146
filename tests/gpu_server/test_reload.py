"""What a running server reads again when it is told to, and how it ends."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import grpc
import pytest

from overtone.frequency import Encoded
from overtone.gpu_server.networks.torch_network import TorchNetwork
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.system.shutdown import SHUTDOWN_SECONDS
from overtone.models import read_card, rewrite
from overtone.protos import overtone_pb2 as pb
from tests.gpu_server.conftest import client_of, connected, value
from tests.gpu_server.test_grpc_server import session, stub_of
from tests.gpu_server.test_rest_api import ALWAYS, NEVER, error, first, further
from tests.serving import Serve
from tests.waiting import LATER, until


@pytest.fixture
def model(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may replace."""
    path = tmp_path / "model.safetensors"
    rename(tiny_checkpoint, path, "before")
    return path


def rename(source: Path, path: Path, name: str) -> None:
    rewrite(source, read_card(source).model_copy(update={"name": name}), path)


async def test_a_new_model_serves_new_sessions_and_old_ones_finish_on_the_old_one(
    serve: Serve, encoded: Encoded, model: Path
) -> None:
    low, high = encoded.layers
    async with (
        serve(model=str(model), linger=LATER) as server,
        connected(server) as channel,
        client_of(server) as http,
        session(channel, "never") as old,
    ):
        assert old.welcome.model == "before"
        before = server.service.core
        await old.image(1, low)
        assert isinstance(await old.hear(), pb.NeedMore)
        asked = await http.post("/v1/images", params=NEVER, content=first(encoded))
        rename(model, model, "after")
        await server.reload.reload_all()

        assert isinstance(await old.hear(), pb.GoAway)
        async with session(channel, "never") as new:
            assert new.welcome.model == "after"
            assert (await http.post("/v1/images", params=ALWAYS, content=first(encoded))).json()[
                "model"
            ] == "after"
            # What the model before knew of an image is no use to this one.
            reply = await http.post(asked.headers["location"], params=NEVER, content=further(encoded))
            assert error(reply) == (410, "ABORTED")
            await old.further(1, high)
            assert isinstance(await old.hear(), pb.Answer)
            await old.say(end=pb.End())
            assert await old.hear() is None
            await until(lambda: not before._engine._open)  # stopped, since nobody uses it any more
            await new.image(1, low)
            assert isinstance(await new.hear(), pb.NeedMore)


async def test_a_model_that_cannot_be_loaded_leaves_the_old_one_serving(
    serve: Serve,
    encoded: Encoded,
    model: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = model.read_bytes()
    async with serve(model=str(model)) as server, connected(server) as channel, session(channel) as device:
        for damage in (b"not a checkpoint", good[:-1] + bytes([good[-1] ^ 1])):
            model.write_bytes(damage)
            caplog.clear()
            await server.reload.reload_all()
            assert "the model stays as it was: cannot serve" in caplog.text
        with monkeypatch.context() as patch:
            patch.setattr(TorchNetwork, "warm", out_of_memory)
            model.write_bytes(good)
            caplog.clear()
            await server.reload.reload_all()
            assert "out of memory" in caplog.text
        assert server.service.ready
        await device.image(1, encoded.layers[0])
        assert isinstance(await device.hear(), pb.Answer)
        assert value(server.service.metrics, "overtone_queue_depth", stage="low") == 0
        caplog.clear()
        await server.reload.reload_all()  # the same file as at the last time
        assert server.service.core.generation == 0
        assert not caplog.records


def out_of_memory(_: object) -> None:
    raise RuntimeError("out of memory")


SCRIPT = """
    import sys, threading
    from overtone.gpu_server.networks.torch_network import TorchNetwork
    from overtone.gpu_server.serve import run
    from overtone.gpu_server.settings import Settings

    if sys.argv[1] == "hangs":
        TorchNetwork.run = lambda *_: print("hanging", flush=True) or threading.Event().wait()
    run(Settings())
"""


async def start(tmp_path: Path, how: str, **settings: object) -> asyncio.subprocess.Process:
    """A process of its own that serves, and has said so."""
    script = tmp_path / "serve.py"
    script.write_text(textwrap.dedent(SCRIPT))
    given = {"grpc_port": 0, "http_port": 0, "threads": 1, "device": "cpu", "batch_sizes": 1, "pause": 0}
    variables = {f"OVERTONE_{name.upper()}": str(value) for name, value in (given | settings).items()}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        how,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def port_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    assert line, (await process.communicate())[1].decode()
    assert (await process.stdout.readline()).startswith(b"  see it: http://")
    return line.partition("grpc ")[2].partition(",")[0]


async def test_a_signal_reloads(tiny_checkpoint: Path, tmp_path: Path, model: Path) -> None:
    process = await start(tmp_path, "works", model=model)
    try:
        address = await port_of(process)
        rename(model, model, "after")
        process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(LATER), grpc.aio.insecure_channel(address) as channel:
            describe = stub_of(channel).DescribeModel
            while (await describe(pb.DescribeModelRequest())).name != "after":
                await asyncio.sleep(0.05)
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert b"the model has been loaded again" in err


async def test_it_ends_even_if_the_network_hangs(
    tiny_checkpoint: Path, tmp_path: Path, encoded: Encoded
) -> None:
    process = await start(tmp_path, "hangs", model=tiny_checkpoint, drain=0.1, deadline=600)
    try:
        address = await port_of(process)
        async with grpc.aio.insecure_channel(address) as channel, session(channel) as device:
            await device.image(1, encoded.layers[0])
            assert process.stdout is not None
            assert await process.stdout.readline() == b"hanging\n"
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(LATER):
                _, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 1
    assert b"still not stopped" in err


def test_in_the_worst_case_it_ends_before_docker_kills_it() -> None:
    settings = Settings()
    assert settings.pause + settings.drain + SHUTDOWN_SECONDS < 10
