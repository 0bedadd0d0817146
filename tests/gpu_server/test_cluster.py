"""Engines and faces as they are on a cluster, but in this process: what Ray adds is in test_ray.py."""

from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.frequency import Encoded, Profile, join
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.cluster.engine import EngineReplica
from overtone.gpu_server.cluster.face import batch_sizes
from overtone.gpu_server.cluster.model_file import checked, digest
from overtone.gpu_server.cluster.remote_network import Lost, RemoteNetwork
from overtone.gpu_server.errors import Unavailable
from overtone.gpu_server.known import Known
from overtone.gpu_server.networks.stub import LARGEST, StubNetwork
from overtone.gpu_server.networks.torch_network import CPU_SIZES
from overtone.gpu_server.running import running
from overtone.gpu_server.settings import Settings
from overtone.models import read_card
from tests.gpu_server.conftest import MakeSettings, client_of
from tests.gpu_server.test_reload import rename
from tests.waiting import until


class Engines:
    """Loses so many batches, or fails, before it answers."""

    def __init__(self, checkpoint: Path, lost: float = 0, error: Exception | None = None) -> None:
        self.network = StubNetwork(read_card(checkpoint))
        self.lost = lost
        self.error = error
        self.sent: list[int] = []

    def __call__(self, stage: Stage, images: Sequence[Known], seconds: float) -> NDArray[np.float32]:
        self.sent.append(len(images))
        if self.lost:
            self.lost -= 1
            raise Lost("its node has gone")
        if self.error is not None:
            raise self.error
        return self.network.run(stage, images)


def test_a_batch_that_is_lost_is_sent_again(tiny_checkpoint: Path, tiny_profile: Profile) -> None:
    engines = Engines(tiny_checkpoint, lost=2)
    network = RemoteNetwork(engines, tiny_profile, (1, 2, 4), patience=30)
    rows = network.run(Stage.LOW, [network.example()] * 2)
    assert rows.argmax(axis=1).tolist() == [0, 0]
    assert engines.sent == [2, 2, 2]


def test_nobody_waits_forever_for_a_batch(tiny_checkpoint: Path, tiny_profile: Profile) -> None:
    network = RemoteNetwork(Engines(tiny_checkpoint, lost=float("inf")), tiny_profile, (1,), patience=0.1)
    with pytest.raises(Unavailable, match="no engine answers"):
        network.run(Stage.LOW, [network.example()])


def test_what_the_network_itself_says_is_not_asked_twice(
    tiny_checkpoint: Path, tiny_profile: Profile
) -> None:
    engines = Engines(tiny_checkpoint, error=RuntimeError("out of memory"))
    network = RemoteNetwork(engines, tiny_profile, (1,), patience=30)
    with pytest.raises(RuntimeError, match="out of memory"):
        network.run(Stage.LOW, [network.example()])
    assert engines.sent == [1]


def test_a_face_waits_for_the_first_engine(tiny_checkpoint: Path, tiny_profile: Profile) -> None:
    engines = Engines(tiny_checkpoint, lost=3)
    RemoteNetwork(engines, tiny_profile, (1,), patience=0.01).warm()
    assert engines.sent == [1] * 4


@pytest.mark.parametrize(
    ("device", "given", "sizes"),
    [
        ("cpu", (), CPU_SIZES),
        ("cpu", (1, 3), (1, 3)),
        ("cuda", (), tuple(range(1, LARGEST + 1))),
        ("stub:20", (1, 4), (1, 2, 3, 4)),
    ],
)
def test_batches_are_those_that_engines_are_warm_for(
    settings: MakeSettings, device: str, given: tuple[int, ...], sizes: tuple[int, ...]
) -> None:
    assert batch_sizes(settings(device=device, batch_sizes=given)) == sizes


async def test_faces_share_their_ports_and_answer(
    settings: MakeSettings,
    tiny_checkpoint: Path,
    tiny_profile: Profile,
    encoded: Encoded,
    unused_tcp_port: int,
) -> None:
    engines = Engines(tiny_checkpoint)
    network = RemoteNetwork(engines, tiny_profile, (1, 2), patience=30)
    given: Settings = settings(http_port=unused_tcp_port)
    async with running(given, networks=[network] * 2) as first, running(given, networks=[network]) as second:
        assert first.http_port == second.http_port == unused_tcp_port
        for _ in range(12):  # new connections, which reach one of the two
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{unused_tcp_port}", trust_env=False
            ) as http:
                reply = await http.post("/v1/images", content=join(encoded.layers[:1]))
            assert (reply.status_code, reply.json()["index"]) == (200, 0), reply.text
    assert len(engines.sent) == 12 + 3  # with those that warmed


async def test_without_engines_clients_are_told_to_try_again(
    settings: MakeSettings, tiny_checkpoint: Path, tiny_profile: Profile, encoded: Encoded
) -> None:
    engines = Engines(tiny_checkpoint)
    network = RemoteNetwork(engines, tiny_profile, (1,), patience=0.1)
    given: Settings = settings(probe_interval=0.01)
    async with running(given, networks=[network]) as server, client_of(server) as http:
        engines.lost = float("inf")
        reply = await http.post("/v1/images", content=join(encoded.layers[:1]))
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        await until(lambda: not server.service.ready)
        engines.lost = 0
        await until(lambda: server.service.ready)
        assert (await http.post("/v1/images", content=join(encoded.layers[:1]))).status_code == 200


async def test_an_engine_is_replaced_if_its_network_goes_on_failing(
    settings: MakeSettings, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = EngineReplica(settings(device="stub"), digest(str(tiny_checkpoint)))
    image = StubNetwork(read_card(tiny_checkpoint)).example()
    assert (await engine.run(Stage.HIGH, [image])).argmax() == 0

    def fail(self: StubNetwork, stage: Stage, images: Sequence[Known]) -> NDArray[np.float32]:
        raise RuntimeError("the device is lost")

    with monkeypatch.context() as patch:
        patch.setattr(StubNetwork, "run", fail)
        await engine.check_health()  # nothing has failed yet
        with pytest.raises(RuntimeError, match="the device is lost"):
            await engine.run(Stage.LOW, [image])
        with pytest.raises(RuntimeError, match="the device is lost"):
            await engine.check_health()
    await engine.check_health()
    assert (await engine.run(Stage.LOW, [image])).argmax() == 0


def test_a_node_with_another_file_does_not_serve(tiny_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    rename(tiny_checkpoint, path, "one")
    found = digest(str(path))
    assert checked(str(path), found) == path
    rename(tiny_checkpoint, path, "another")
    with pytest.raises(ValueError, match="another file on this node"):
        checked(str(path), found)
