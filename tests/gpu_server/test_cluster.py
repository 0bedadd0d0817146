"""Engines and faces as they are on a cluster, but in this process: what Ray adds is in test_ray.py."""

from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.frequency import Encoded, Profile, encode, fit, join, open_rgb
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.cluster import concurrency
from overtone.gpu_server.cluster.check import check
from overtone.gpu_server.cluster.engine import EngineReplica
from overtone.gpu_server.cluster.face import batch_sizes, serving
from overtone.gpu_server.cluster.model_file import digest, verified_path
from overtone.gpu_server.cluster.remote_network import BatchLost, RemoteNetwork
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.errors import StartError, Unavailable
from overtone.gpu_server.networks.stub import LARGEST, StubNetwork
from overtone.gpu_server.networks.torch_network import CPU_SIZES
from overtone.gpu_server.running import running
from overtone.gpu_server.settings import Settings
from overtone.models import read_card
from overtone.models.any_card import read_any_card
from tests.conftest import Photograph
from tests.gpu_server.conftest import MakeSettings, client_of
from tests.gpu_server.test_reload import rename
from tests.waiting import until


class Engines:
    """Loses so many batches, or fails, before it answers."""

    def __init__(self, checkpoint: Path, lost: float = 0, error: Exception | None = None) -> None:
        self.network = StubNetwork(read_any_card(checkpoint))
        self.lost = lost
        self.error = error
        self.sent: list[int] = []

    def __call__(self, stage: Stage, images: Sequence[DecodedImage], seconds: float) -> NDArray[np.float32]:
        self.sent.append(len(images))
        if self.lost:
            self.lost -= 1
            raise BatchLost("its node has gone")
        if self.error is not None:
            raise self.error
        return self.network.run(stage, images)


def test_a_batch_that_is_lost_is_sent_again(tiny_checkpoint: Path, tiny_profile: Profile) -> None:
    engines = Engines(tiny_checkpoint, lost=2)
    network = RemoteNetwork(engines, tiny_profile, (1, 2, 4), patience=30, most=30)
    rows = network.run(Stage.LOW, [network.example()] * 2)
    assert rows.argmax(axis=1).tolist() == [0, 0]
    assert engines.sent == [2, 2, 2]


def test_nobody_waits_forever_for_a_batch(tiny_checkpoint: Path, tiny_profile: Profile) -> None:
    network = RemoteNetwork(
        Engines(tiny_checkpoint, lost=float("inf")), tiny_profile, (1,), patience=0.1, most=0.1
    )
    with pytest.raises(Unavailable, match="no engine answers"):
        network.run(Stage.LOW, [network.example()])


def test_what_the_network_itself_says_is_not_asked_twice(
    tiny_checkpoint: Path, tiny_profile: Profile
) -> None:
    engines = Engines(tiny_checkpoint, error=RuntimeError("out of memory"))
    network = RemoteNetwork(engines, tiny_profile, (1,), patience=30, most=30)
    with pytest.raises(RuntimeError, match="out of memory"):
        network.run(Stage.LOW, [network.example()])
    assert engines.sent == [1]


@pytest.mark.parametrize(
    ("faces", "engines", "max_engines"), [(1, 1, 0), (3, 1, 0), (3, 4, 0), (10, 1, 8), (10, 16, 0)]
)
def test_batches_wait_at_engines_and_not_in_faces(
    settings: MakeSettings, faces: int, engines: int, max_engines: int
) -> None:
    given = settings(engines=engines, max_engines=max_engines)
    most = faces * concurrency.batches_per_face(given, faces)
    assert (
        concurrency.batches_per_engine(given, faces) * engines
        >= most
        >= concurrency.BATCHES_PER_ENGINE * max(engines, max_engines)
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"http_port": 0}, "all nodes have the same ports"),
        ({"device": "cpu,cpu"}, "an engine has one device"),
        ({"workers": 2}, "one face on each node"),
        ({"models": "."}, r"several models \(--models\) are served by one process and not with --ray"),
        ({"tls_certificate": "none", "tls_key": "none"}, "OVERTONE_TLS_CERTIFICATE none"),
    ],
)
def test_what_is_not_to_be_had_on_a_cluster_is_said(
    settings: MakeSettings, changes: dict[str, object], reason: str
) -> None:
    given = {"ray": "auto", "grpc_port": 1024, "http_port": 1025, "workers": 1}
    check(settings(**given))
    with pytest.raises(StartError, match=reason) as refused:
        check(settings(**given | changes))
    assert "\n" not in str(refused.value)


class Busy:
    """Answers each batch after more and more seconds of a clock of its own, if it is waited for so long."""

    def __init__(self, network: StubNetwork, seconds: Sequence[float]) -> None:
        self.network = network
        self.seconds = list(seconds)
        self.now = 0.0
        self.lost = 0

    def __call__(self, stage: Stage, images: Sequence[DecodedImage], seconds: float) -> NDArray[np.float32]:
        takes = self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]
        self.now += min(takes, seconds)
        if takes > seconds:
            self.lost += 1
            raise BatchLost("it takes too long")
        return self.network.run(stage, images)


def busy(checkpoint: Path, profile: Profile, *seconds: float) -> tuple[Busy, RemoteNetwork]:
    engines = Busy(StubNetwork(read_any_card(checkpoint)), seconds)
    return engines, RemoteNetwork(engines, profile, (1,), patience=2, most=10, clock=lambda: engines.now)


def test_an_engine_that_has_more_and_more_to_do_is_waited_for(
    tiny_checkpoint: Path, tiny_profile: Profile
) -> None:
    engines, network = busy(tiny_checkpoint, tiny_profile, *(0.5 + 0.05 * number for number in range(70)))
    for _ in range(70):
        network.run(Stage.LOW, [network.example()])
    assert engines.lost == 0  # though the last ones took four times as long as one that idles is waited for


def test_busy_engines_are_found_out_from_what_is_lost(tiny_checkpoint: Path, tiny_profile: Profile) -> None:
    engines, network = busy(tiny_checkpoint, tiny_profile, 2.5)
    with pytest.raises(Unavailable):
        network.run(Stage.LOW, [network.example()])
    network.run(Stage.LOW, [network.example()])
    assert engines.lost == 2


def test_nobody_waits_longer_than_an_image_may_take(tiny_checkpoint: Path, tiny_profile: Profile) -> None:
    engines, network = busy(tiny_checkpoint, tiny_profile, 100.0)
    for _ in range(20):
        began = engines.now
        with pytest.raises(Unavailable):
            network.run(Stage.LOW, [network.example()])
        assert engines.now - began <= 10


def test_a_face_waits_for_the_first_engine(tiny_checkpoint: Path, tiny_profile: Profile) -> None:
    engines = Engines(tiny_checkpoint, lost=3)
    RemoteNetwork(engines, tiny_profile, (1,), patience=0.01, most=0.01).warm()
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
    network = RemoteNetwork(engines, tiny_profile, (1, 2), patience=30, most=30)
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
    network = RemoteNetwork(engines, tiny_profile, (1,), patience=0.1, most=0.1)
    given: Settings = settings(probe_interval=0.01)
    async with running(given, networks=[network]) as server, client_of(server) as http:
        engines.lost = float("inf")
        reply = await http.post("/v1/images", content=join(encoded.layers[:1]))
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        await until(lambda: not server.service.ready)
        engines.lost = 0
        await until(lambda: server.service.ready)
        assert (await http.post("/v1/images", content=join(encoded.layers[:1]))).status_code == 200


async def test_a_face_serves_a_detector(
    settings: MakeSettings, tiny_detector: Path, photograph: Photograph
) -> None:
    model = str(tiny_detector)
    given = settings(model=model, networks=1)
    profile = read_any_card(model).profile
    encoded = encode(fit(open_rgb(photograph), profile.size), profile)
    async with serving(Engines(tiny_detector), given, digest(model)) as server, client_of(server) as http:
        reply = await http.post("/v1/detect", content=join(encoded.layers))
        assert reply.status_code == 200
        assert reply.json()["detections"] == []


async def test_an_engine_is_replaced_if_its_network_goes_on_failing(
    settings: MakeSettings, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = EngineReplica(settings(device="stub"), digest(str(tiny_checkpoint)))
    image = StubNetwork(read_card(tiny_checkpoint)).example()
    assert (await engine.run(Stage.HIGH, [image])).argmax() == 0

    def fail(self: StubNetwork, stage: Stage, images: Sequence[DecodedImage]) -> NDArray[np.float32]:
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
    assert verified_path(str(path), found) == path
    rename(tiny_checkpoint, path, "another")
    with pytest.raises(ValueError, match="another file on this node"):
        verified_path(str(path), found)
