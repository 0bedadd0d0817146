"""A shadow judges what another version answers, is counted apart, and is in nobody's way."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.frequency import Encoded
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.core import Core
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.errors import NetworkFailed
from overtone.gpu_server.networks.stub import StubNetwork
from overtone.gpu_server.serve import Running
from overtone.gpu_server.telemetry.metrics import Metrics
from overtone.models import OperatingPoint, read_card, rewrite
from overtone.protos import overtone_pb2 as pb
from tests.gpu_server.conftest import ALL, NONE, SHARED_LOOP, client_of, connected, table
from tests.gpu_server.test_grpc_server import session
from tests.gpu_server.test_rest_api import first
from tests.serving import Serve
from tests.waiting import until

pytestmark = SHARED_LOOP

# The class that the second version is always sure of.
OTHER = 4


@pytest.fixture
def serve_two(tiny_checkpoint: Path, tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Two versions that answer at once: "split" needs all layers in the first, and one in the second, its shadow."""
    card = read_card(tiny_checkpoint)
    (tmp_path / "shapes").mkdir()
    for version, threshold in ((1, NONE), (2, ALL)):
        points = (*card.operating_points, OperatingPoint(name="split", thresholds=(threshold,)))
        changes: dict[str, Any] = {"name": f"number {version}", "operating_points": points}
        path = tmp_path / f"shapes/{version}.safetensors"
        rewrite(tiny_checkpoint, card.model_copy(update=changes), path)
    monkeypatch.setattr(StubNetwork, "run", _by_name)
    return partial(serve, models=tmp_path, device="stub", shadow="shapes:2=1")


def _by_name(self: StubNetwork, stage: Stage, images: Sequence[DecodedImage]) -> NDArray[np.float32]:
    """The first version says the first class, and the other one says so only of images of all layers."""
    rows = np.zeros((len(images), len(self._card.profile.labels)), np.float32)
    rows[:, 0 if stage is Stage.HIGH or self._card.name == "number 1" else OTHER] = 100.0
    return rows


def compared(metrics: Metrics) -> Counter[tuple[str, ...]]:
    """What came of the images that the shadow got."""
    return table(metrics, "overtone_shadow_total", "model", "version", "outcome")


def _came(metrics: Metrics, outcome: str) -> bool:
    return compared(metrics)["shapes", "2", outcome] > 0


def of_role(metrics: Metrics, name: str, *labels: str) -> Counter[tuple[str, ...]]:
    return table(metrics, f"overtone_model_{name}_total", "version", "role", *labels)


def second_of(server: Running) -> Core:
    return server.service.repository.versions("shapes")[1]


async def test_it_is_compared_with_the_answers(serve_two: Serve, encoded: Encoded, jpeg: bytes) -> None:
    low, high = map(len, encoded.layers)
    async with serve_two() as server, connected(server) as channel, client_of(server) as http:
        metrics = server.service.metrics
        for point, outcome in (("split", "disagreed"), ("never", "agreed")):
            async with session(channel, point) as device:
                assert device.welcome.version == "1"
                await device.image(1, encoded.layers[0])
                assert isinstance(await device.hear(), pb.NeedMore)
                await device.further(1, encoded.layers[1])
                answer = await device.hear()
                assert [score.index for score in answer.top] == [0]
                await until(partial(_came, metrics, outcome))
        # At "split", the shadow was sure after one layer. At "never" it asked as the first version did.
        assert of_role(metrics, "answers") == {("1", "served"): 2, ("2", "shadow"): 2}
        assert of_role(metrics, "escalations", "layer") == {("1", "served", "2"): 2, ("2", "shadow", "2"): 1}
        assert of_role(metrics, "bytes") == {
            ("1", "served"): 2 * (low + high),
            ("2", "shadow"): 2 * low + high,
        }
        reply = await http.post("/v1/classify", params={"operating_point": "never"}, content=jpeg)
        assert reply.json()["version"] == "1"
        await until(lambda: sum(compared(metrics).values()) == 3)
        assert of_role(metrics, "bytes")["2", "shadow"] == 2 * low + high + len(jpeg)
        served = {key: count for key, count in of_role(metrics, "answers").items() if key[1] == "served"}
        assert sum(served.values()) == sum(table(metrics, "overtone_answers_total", "stage").values()) == 3


async def test_it_gets_nothing_while_images_wait(serve_two: Serve, encoded: Encoded) -> None:
    async with serve_two() as server, client_of(server) as http:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Core, "busy", True)
            patch.setattr(second_of(server), "judge_decoded", None)
            reply = await http.post(
                "/v1/images", params={"operating_point": "always"}, content=first(encoded)
            )
            assert reply.json()["index"] == 0
        assert compared(server.service.metrics) == {("shapes", "2", "dropped"): 1}


async def test_its_failures_are_nobodys(serve_two: Serve, encoded: Encoded) -> None:
    async with serve_two() as server, client_of(server) as http:
        never = asyncio.Event()

        async def fail(*_: Any) -> None:
            await never.wait()  # nobody waits for it either
            raise NetworkFailed("broken on purpose")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(second_of(server), "judge_decoded", fail)
            reply = await http.post(
                "/v1/images", params={"operating_point": "always"}, content=first(encoded)
            )
            assert reply.json()["index"] == 0
            assert not compared(server.service.metrics)
            never.set()
            await until(lambda: compared(server.service.metrics) == {("shapes", "2", "failed"): 1})


async def test_a_share_of_none_is_none(serve_two: Serve, encoded: Encoded) -> None:
    async with serve_two(shadow="shapes:2=0") as server, client_of(server) as http:
        reply = await http.post("/v1/images", params={"operating_point": "always"}, content=first(encoded))
        assert reply.json()["version"] == "1"
        assert not compared(server.service.metrics)
        assert of_role(server.service.metrics, "answers") == {("1", "served"): 1}


async def test_another_profile_cannot_be_compared(
    serve_two: Serve, tmp_path: Path, other_checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "shapes/2.safetensors").write_bytes(other_checkpoint.read_bytes())
    async with serve_two() as server:
        assert server.service.core.shadow is None
    assert "shapes:2 is no shadow" in caplog.text
