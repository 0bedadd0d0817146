"""A folder of models in one server: which are served, to whom, and how they come and go."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
import torch

from overtone.frequency import Encoded, Profile
from overtone.gpu_server.core import Core
from overtone.gpu_server.errors import StartError
from overtone.gpu_server.repository.model_folder import ModelId
from overtone.gpu_server.repository.traffic_split import TrafficSplit
from overtone.gpu_server.serve import Running
from overtone.gpu_server.telemetry.metrics import Metrics
from overtone.gpu_server.workers.supervisor import worker_count
from overtone.models import load, read_card, save
from overtone.protos import open_inference_pb2, open_inference_pb2_grpc
from overtone.protos import overtone_pb2 as pb
from tests.gpu_server.conftest import SHARED_LOOP, MakeSettings, client_of, connected, value
from tests.gpu_server.test_grpc_server import session, stub_of
from tests.gpu_server.test_open_inference import body, failure
from tests.gpu_server.test_rest_api import ALWAYS, NEVER, error, first, further
from tests.serving import Serve
from tests.waiting import LATER, until

pytestmark = SHARED_LOOP


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """Versions 1 and 3 of one model, and one more."""
    place(tiny_checkpoint, tmp_path / "shapes/1.safetensors")
    place(tiny_checkpoint, tmp_path / "shapes/3.safetensors")
    place(tiny_checkpoint, tmp_path / "alone.safetensors")
    return tmp_path


def place(checkpoint: Path, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    shutil.copyfile(checkpoint, path)


@pytest.fixture
def serve_folder(folder: Path, serve: Serve) -> Serve:
    """A server of the folder, with networks that answer at once."""
    return partial(serve, models=folder, device="stub")


@pytest_asyncio.fixture(loop_scope="session")
async def several(serve_folder: Serve) -> AsyncIterator[Running]:
    async with serve_folder(admin_port=0, linger=LATER) as server:
        yield server


def inference(channel: grpc.aio.Channel) -> Any:
    return open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]


async def judged(http: httpx.AsyncClient, encoded: Encoded, model: str = "", **query: str) -> tuple[str, str]:
    """Who answers."""
    query |= {"model": model} if model else {}
    reply = await http.post("/v1/images", params=ALWAYS | query, content=first(encoded))
    assert reply.status_code == 200, reply.text
    return reply.json()["model"], reply.json()["version"]


def admin_of(server: Running) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.admin_port}", trust_env=False, timeout=60.0)


async def test_each_model_has_a_network_of_its_own(
    serve: Serve, tiny_checkpoint: Path, tmp_path: Path, encoded: Encoded
) -> None:
    model, card = load(tiny_checkpoint)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.shape[0] == len(card.profile.labels):
                assert "head" in name or "classifier" in name or "fc" in name, name
                weights.copy_(weights.roll(1, 0))  # the next class instead
    place(tiny_checkpoint, tmp_path / "this.safetensors")
    save(tmp_path / "next.safetensors", model, card)
    async with serve(models=tmp_path) as server, client_of(server) as http:
        found = {}
        for name in ("this", "next"):
            reply = await http.post("/v1/images", params=ALWAYS | {"model": name}, content=first(encoded))
            found[name] = reply.json()["index"]
    assert found["next"] == (found["this"] + 1) % len(card.profile.labels)


async def test_waiting_images_are_those_of_all_engines(metrics: Metrics) -> None:
    depths = [partial(int, number) for number in (2, 3)]
    for depth in depths:
        metrics.watch_depth("low", depth)
    assert value(metrics, "overtone_queue_depth", stage="low") == 5
    metrics.forget_depth("low", depths[0])
    assert value(metrics, "overtone_queue_depth", stage="low") == 3


async def test_over_http_a_query_names_the_model(several: Running, encoded: Encoded, jpeg: bytes) -> None:
    async with client_of(several) as http:
        assert await judged(http, encoded) == ("alone", "1")
        assert await judged(http, encoded, "shapes") == ("shapes", "3")
        assert await judged(http, encoded, "shapes:1") == ("shapes", "1")
        reply = await http.post("/v1/classify", params={"model": "shapes"}, content=jpeg)
        assert reply.json()["model"] == "shapes"
        assert (await http.get("/v1/labels", params={"model": "shapes"})).json()["labels"]
        for where in ("/v1/model", "/v1/profile", "/v1/labels"):
            assert error(await http.get(where, params={"model": "odd"})) == (404, "NOT_FOUND")
        for model, known in (("odd", "'alone', 'shapes'"), ("shapes:2", "'1', '3'")):
            reply = await http.post("/v1/images", params={"model": model}, content=first(encoded))
            assert error(reply) == (404, "NOT_FOUND")
            assert known in reply.text


async def test_further_layers_go_to_the_version_that_asked_for_them(
    several: Running, encoded: Encoded
) -> None:
    async with client_of(several) as http:
        asked = await http.post("/v1/images", params=NEVER | {"model": "shapes:1"}, content=first(encoded))
        reply = await http.post(asked.headers["location"], params=NEVER, content=further(encoded))
        assert (reply.json()["model"], reply.json()["version"]) == ("shapes", "1")


async def test_over_grpc_the_hello_names_the_model(several: Running, encoded: Encoded) -> None:
    async with connected(several) as channel:
        stub = stub_of(channel)
        for model, served in (
            ("", ("alone", "1")),
            ("shapes", ("shapes", "3")),
            ("shapes:1", ("shapes", "1")),
        ):
            options = pb.Options(operating_point="always", model=model)
            async with session(channel, options=options) as device:
                assert (device.welcome.model, device.welcome.version) == served
                await device.image(1, encoded.layers[0])
                assert isinstance(await device.hear(), pb.Answer)
            assert (await stub.Classify(pb.ClassifyRequest(layers=encoded.layers, options=options))).top
            assert (await stub.DescribeModel(pb.DescribeModelRequest(model=model))).name == served[0]
        async with session(channel, options=pb.Options(model="odd"), refused=True) as device:
            assert await device.code() is grpc.StatusCode.NOT_FOUND
            assert "'alone', 'shapes'" in await device.call.details()


async def test_the_open_inference_protocol_knows_versions(several: Running, encoded: Encoded) -> None:
    async with client_of(several) as http, connected(several) as channel:
        assert (await http.get("/v2/models/shapes")).json()["versions"] == ["1", "3"]
        for where, version in (("", "3"), ("/versions/1", "1"), ("/versions/3", "3")):
            assert (await http.get(f"/v2/models/shapes{where}/ready")).status_code == 200
            reply = await http.post(f"/v2/models/shapes{where}/infer", json=body(encoded))
            assert (reply.json()["model_name"], reply.json()["model_version"]) == ("shapes", version)
        assert failure(await http.get("/v2/models/shapes/versions/2/ready"))[0] == 404
        assert "model_repository" in (await http.get("/v2")).json()["extensions"]
        stub = inference(channel)
        ready = open_inference_pb2.ModelReadyRequest(name="shapes", version="1")
        assert (await stub.ModelReady(ready)).ready
        asked = open_inference_pb2.ModelMetadataRequest(name="shapes")
        assert (await stub.ModelMetadata(asked)).versions == ["1", "3"]


async def test_what_cannot_be_loaded_does_not_stop_the_others(
    folder: Path, serve_folder: Serve, encoded: Encoded, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "broken.safetensors").write_bytes(b"no checkpoint")
    (folder / "shapes/latest.safetensors").write_bytes(b"")
    async with serve_folder(default_model="shapes") as server, client_of(server) as http:
        lines = [record.message for record in caplog.records if record.levelname == "ERROR"]
        assert [("latest" in line, "broken" in line) for line in lines] == [(True, False), (False, True)]
        assert await judged(http, encoded) == ("shapes", "3")
        index = (await http.post("/v2/repository/index")).json()
        states = {(each["name"], each["version"]): each["state"] for each in index}
        assert states.pop(("broken", "1")) == "UNAVAILABLE"
        assert states == dict.fromkeys([("alone", "1"), ("shapes", "1"), ("shapes", "3")], "READY")
        ready = (await http.post("/v2/repository/index", json={"ready": True})).json()
        assert len(ready) == len(index) - 1


async def test_a_server_without_a_model_does_not_start(
    tmp_path: Path, folder: Path, serve_folder: Serve, settings: MakeSettings
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "broken.safetensors").write_bytes(b"no checkpoint")
    for refused, why in (
        ({"models": empty}, "broken"),
        ({"models": tmp_path / "nowhere"}, "nowhere"),
        ({"models": folder, "default_model": "odd"}, "only alone, shapes"),
    ):
        with pytest.raises(StartError, match=why):
            async with serve_folder(**refused):
                pass
    with pytest.raises(StartError, match="--workers 1"):
        worker_count(settings(models=folder, workers=2))


async def test_versions_come_and_go_with_their_files(
    several: Running, folder: Path, tiny_checkpoint: Path, encoded: Encoded
) -> None:
    async with client_of(several) as http, connected(several) as channel:
        options = pb.Options(operating_point="never", model="shapes")
        async with (
            session(channel, options=options) as old,
            session(channel, options=pb.Options(model="shapes:3")) as pinned,
        ):
            await old.image(1, encoded.layers[0])
            assert isinstance(await old.hear(), pb.NeedMore)
            place(tiny_checkpoint, folder / "shapes/4.safetensors")
            await several.reload.reload_all()
            assert isinstance(await old.hear(), pb.GoAway)
            assert await judged(http, encoded, "shapes") == ("shapes", "4")
            before = several.service.repository.versions("shapes")[1]
            (folder / "shapes/3.safetensors").unlink()
            await several.reload.reload_all()
            assert isinstance(await pinned.hear(), pb.GoAway)
            reply = await http.post("/v1/images", params={"model": "shapes:3"}, content=first(encoded))
            assert error(reply) == (404, "NOT_FOUND")
            await old.further(1, encoded.layers[1])  # what it began with, it finishes on
            assert isinstance(await old.hear(), pb.Answer)
            for each in (old, pinned):
                await each.say(end=pb.End())
                assert await each.hear() is None
            await until(lambda: not before._engine._open)
        shutil.rmtree(folder)
        await several.reload.reload_all()  # a folder that is away takes nothing with it
        assert await judged(http, encoded, "shapes") == ("shapes", "4")


async def test_what_goes_is_served_until_what_comes_is_loaded(
    several: Running, folder: Path, encoded: Encoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, began, goes_on = several.service.repository, asyncio.Event(), asyncio.Event()
    load_now = repository._load_core

    async def load_later(model: ModelId, path: Path) -> Core:
        began.set()
        await goes_on.wait()
        return await load_now(model, path)

    monkeypatch.setattr(repository, "_load_core", load_later)
    (folder / "alone.safetensors").rename(folder / "renamed.safetensors")
    reloading = asyncio.create_task(several.reload.reload_all())
    await began.wait()
    async with client_of(several) as http:
        assert await judged(http, encoded, "alone") == ("alone", "1")
        goes_on.set()
        await reloading
        assert await judged(http, encoded) == ("renamed", "1")
        reply = await http.post("/v1/images", params={"model": "alone"}, content=first(encoded))
        assert error(reply) == (404, "NOT_FOUND")


async def test_administrators_load_and_unload(several: Running, folder: Path, encoded: Encoded) -> None:
    async with client_of(several) as http, admin_of(several) as admin:
        unload, load = (f"/v2/repository/models/shapes/{what}" for what in ("unload", "load"))
        assert (await http.post(unload)).status_code == 404
        assert (await http.post("/v2/repository/index")).status_code == 404
        assert (await admin.post(unload)).status_code == 200
        assert failure(await http.get("/v2/models/shapes/ready"))[0] == 404
        index = (await admin.post("/v2/repository/index")).json()
        assert [(each["name"], each["state"]) for each in index][1:] == [("shapes", "UNAVAILABLE")] * 2
        assert failure(await admin.post(unload))[0] == 404
        assert (await admin.post(load)).status_code == 200
        assert await judged(http, encoded, "shapes") == ("shapes", "3")
        (folder / "shapes/3.safetensors").write_bytes(b"no checkpoint")
        status, why = failure(await admin.post(load))
        assert (status, "3.safetensors" in why) == (400, True)
        assert await judged(http, encoded, "shapes") == ("shapes", "3")  # as it was
        for name in ("alone", "shapes"):
            assert (await admin.post(f"/v2/repository/models/{name}/unload")).status_code == 200
        assert (await http.get("/readyz")).text == "no model is loaded"
        assert (await http.post("/v1/images", content=first(encoded))).status_code == 503


async def test_a_canary_gets_a_share(serve_folder: Serve, encoded: Encoded, jpeg: bytes) -> None:
    async with serve_folder(canary="shapes:3=0") as server, client_of(server) as http:
        assert await judged(http, encoded, "shapes") == ("shapes", "1")
        assert await judged(http, encoded, "shapes:3") == ("shapes", "3")
    async with serve_folder(canary="shapes:3=1") as server, client_of(server) as http:
        assert await judged(http, encoded, "shapes") == ("shapes", "3")
        assert await judged(http, encoded, "shapes:1") == ("shapes", "1")
        reply = await http.post("/v1/classify", params={"model": "shapes"}, content=jpeg)
        assert reply.json()["version"] == "3"
        reply = await http.post("/v2/models/shapes/infer", json=body(encoded))
        assert reply.json()["model_version"] == "3"
        async with (
            connected(server) as channel,
            session(channel, options=pb.Options(model="shapes")) as device,
        ):
            assert device.welcome.version == "3"


async def test_a_canary_with_another_profile_gets_only_what_it_can_read(
    folder: Path,
    serve_folder: Serve,
    encoded: Encoded,
    other_checkpoint: Path,
    tiny_profile: Profile,
    jpeg: bytes,
) -> None:
    place(other_checkpoint, folder / "shapes/3.safetensors")
    other = read_card(other_checkpoint).profile.id
    async with serve_folder(canary="shapes:3=1") as server, client_of(server) as http:
        assert await judged(http, encoded, "shapes") == ("shapes", "1")
        reply = await http.post("/v1/classify", params={"model": "shapes"}, content=jpeg)
        assert reply.json()["version"] == "3"
        async with connected(server) as channel:
            for profile, version in ((b"", "3"), (tiny_profile.id, "1"), (other, "3")):
                options = pb.Options(model="shapes")
                async with session(channel, options=options, profile_id=profile) as device:
                    assert device.welcome.version == version


async def test_shares_are_drawn_for_each(monkeypatch: pytest.MonkeyPatch, several: Running) -> None:
    first_version, second = several.service.repository.versions("shapes")
    split = TrafficSplit(first_version, second, 0.3)
    for drawn, expected in ((0.29, second), (0.3, first_version)):
        monkeypatch.setattr("random.random", lambda value=drawn: value)
        assert split.pick(b"") is split.pick(None) is split.pick(first_version.profile.id) is expected
