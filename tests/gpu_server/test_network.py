import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from overtone.frequency import Encoded, Profile, decode, dequantise
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.networks import onnx_runtime
from overtone.gpu_server.networks.cuda_graphs import GraphPool, Inputs
from overtone.gpu_server.networks.export_cache import ExportCache
from overtone.gpu_server.networks.torch_network import (
    MOST_NETWORKS,
    TorchNetwork,
    open_network,
    open_networks,
)
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.system.threads import cores
from overtone.models import Cascade, Mix, load, read_card, rewrite
from tests.gpu_server.conftest import needs_cuda


@pytest.fixture(scope="module")
def network(tiny_checkpoint: Path) -> TorchNetwork:
    network, _ = open_network(tiny_checkpoint, "cpu", (1, 2, 4))
    assert isinstance(network, TorchNetwork)
    network.warm()
    return network


def rolled(image: DecodedImage, by: int) -> DecodedImage:
    """Another image."""
    return DecodedImage(replace(image.decoded, values=np.roll(image.decoded.values, by, axis=2)))


def logits(cascade: Cascade, image: DecodedImage) -> tuple[torch.Tensor, torch.Tensor]:
    """What both networks say, without the server's own code."""
    decoded = image.decoded
    x24 = torch.from_numpy(dequantise(decoded.values, decoded.steps))[None]
    with torch.inference_mode():
        low, state = cascade.low(x24[:, :6])
        return low, cascade.high(state, x24[:, 6:])


@pytest.mark.parametrize(
    ("options", "count", "threads"),
    [
        ({}, min(cores(), MOST_NETWORKS), max(1, cores() // MOST_NETWORKS)),
        ({"networks": 1}, 1, cores()),
        ({"networks": 3}, 3, max(1, cores() // 3)),
        ({"networks": 1, "threads": 1}, 1, 1),
    ],
)
def test_networks_share_the_cores_of_a_cpu(
    tiny_checkpoint: Path, options: dict[str, Any], count: int, threads: int
) -> None:
    before = torch.get_num_threads()
    try:
        networks, card = open_networks(
            tiny_checkpoint, Settings(model=str(tiny_checkpoint), device="cpu", **options)
        )
        found = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    assert (len(networks), len(set(map(id, networks))), found) == (count, 1, threads)
    assert card == read_card(tiny_checkpoint)


def test_a_network_for_each_device(tiny_checkpoint: Path) -> None:
    networks, _ = open_networks(
        tiny_checkpoint, Settings(model=str(tiny_checkpoint), device="cpu,cpu", threads=1)
    )
    assert len(set(map(id, networks))) == 2


def test_threads_run_one_network_at_once(network: TorchNetwork, image: DecodedImage) -> None:
    images = [rolled(image, by) for by in range(16)]
    alone = [network.run(Stage.HIGH, [each]) for each in images]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda each: network.run(Stage.HIGH, [each]), images))
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_gives_what_the_cascade_gives(
    network: TorchNetwork, image: DecodedImage, tiny_checkpoint: Path
) -> None:
    cascade, _ = load(tiny_checkpoint)
    low, high = logits(cascade, image)
    np.testing.assert_allclose(network.run(Stage.LOW, [image]), low.numpy(), atol=1e-4)
    np.testing.assert_allclose(network.run(Stage.HIGH, [image]), high.numpy(), atol=1e-4)


@pytest.mark.parametrize("stage", [Stage.LOW, Stage.HIGH])
@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_padding_and_company_change_nothing(
    network: TorchNetwork, image: DecodedImage, stage: Stage, count: int
) -> None:
    others = [rolled(image, i) for i in range(count)]
    together = network.run(stage, others)
    alone = np.concatenate([network.run(stage, [other]) for other in others])
    assert together.shape == (count, 10)
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert not np.allclose(together[0], together[1], atol=1e-3)


def test_a_batch_may_mix_qualities_and_layers(
    network: TorchNetwork, image: DecodedImage, three: Encoded, three_profile: Profile
) -> None:
    """Coarse and fine low values, and low values alone beside those of an image that has all."""
    first, second = (DecodedImage(decode(three.layers[:n], three_profile)) for n in (1, 2))
    fine = DecodedImage(replace(image.decoded, steps=three_profile.known_steps(3, 2)))
    images = [first, second, image, fine]
    together = network.run(Stage.LOW, images)
    alone = np.concatenate([network.run(Stage.LOW, [each]) for each in images])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_allclose(alone[1], alone[2], atol=1e-4)  # the same low values
    assert not np.allclose(alone[0], alone[1], atol=1e-3)
    assert not np.allclose(alone[2], alone[3], atol=1e-3)


def test_an_example_runs_through_both_stages(network: TorchNetwork) -> None:
    for stage in (Stage.LOW, Stage.HIGH):
        assert np.isfinite(network.run(stage, [network.example()])).all()


def test_a_cpu_takes_sizes_that_need_no_padding(network: TorchNetwork) -> None:
    assert [network.batch_size(n) for n in (1, 2, 3, 4, 7)] == [1, 2, 2, 4, 4]


@pytest.fixture(scope="module")
def mixing(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint with a high answer that is mixed."""
    path = tmp_path_factory.mktemp("mixing") / "mixing.safetensors"
    card = read_card(tiny_checkpoint)
    rewrite(tiny_checkpoint, card.model_copy(update={"mix": Mix(low=0.6, high=0.8)}), path)
    return path


def test_a_mixed_answer_is_what_training_measures(mixing: Path, image: DecodedImage) -> None:
    cascade, _ = load(mixing)
    low, alone = logits(cascade, image)
    mixed = (0.6 * low + 0.8 * alone).numpy()
    network, _ = open_network(mixing, "cpu", (1, 2, 4))
    network.warm()
    first = network.run(Stage.LOW, [image])
    known = replace(image, low_row=first[0])
    np.testing.assert_allclose(network.run(Stage.HIGH, [known]), mixed, atol=1e-4)
    assert not np.allclose(mixed, alone.numpy(), atol=1e-3)
    # `training.evaluation.predictions` mixes in the same place.
    np.testing.assert_allclose(cascade.answer(low, alone).numpy(), mixed)


def test_low_rows_that_are_known_are_used_and_others_computed(mixing: Path, image: DecodedImage) -> None:
    network, _ = open_network(mixing, "cpu", (1, 2, 4))
    network.warm()
    other = rolled(image, 3)
    said = network.run(Stage.LOW, [image, other])
    images = [replace(i, low_row=row) for i, row in zip((image, other), said, strict=True)]
    both = network.run(Stage.HIGH, images)
    for some in ([images[0], other], [image, images[1]], [image, other]):
        np.testing.assert_allclose(network.run(Stage.HIGH, some), both, atol=1e-4)
    moved = [replace(image, low_row=said[0] + np.float32(10) * np.arange(10, dtype=np.float32))]
    assert not np.allclose(network.run(Stage.HIGH, moved), both[:1], atol=1)


class FakeGraph:
    """A graph that only notes that it was replayed."""

    replays = 0

    def replay(self) -> None:
        self.replays += 1


def test_all_graphs_share_one_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CUDA, whose functions are replaced."""
    pools: list[object] = []

    @contextmanager
    def capturing(graph: FakeGraph, pool: object = None) -> Iterator[None]:
        pools.append(pool)
        yield

    class Stream:
        def wait_stream(self, other: object) -> None:
            pass

    for name, fake in {
        "graph_pool_handle": object,
        "graph": capturing,
        "CUDAGraph": FakeGraph,
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda _: nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    graphs = GraphPool()
    for size in (4, 1):
        graphs.capture(lambda inputs: inputs[0] * 2, (torch.zeros(size),))
    assert len(pools) == 2
    assert pools[0] is pools[1] is not None


@needs_cuda
def test_graphs_of_one_pool_take_the_memory_of_the_largest() -> None:
    sizes = (4096, 4095, 4094)

    def square(side: int, value: float) -> Inputs:
        return (torch.full((side, side), value, device="cuda"),)

    def reserved(pool: Callable[[], GraphPool]) -> int:
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved()
        graphs = [pool().capture(lambda inputs: (inputs[0] @ inputs[0]).sum(), square(n, 1.0)) for n in sizes]
        for graph, n in zip(graphs, sizes, strict=True):
            assert graph(square(n, 2.0)).item() == pytest.approx(4.0 * n**3, rel=1e-3)
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved() - before

    shared = GraphPool()
    assert reserved(lambda: shared) < reserved(GraphPool)


@needs_cuda
@pytest.mark.parametrize("graphs", [True, False])
def test_cuda_agrees_with_the_cpu(
    network: TorchNetwork, image: DecodedImage, tiny_checkpoint: Path, graphs: bool
) -> None:
    device, _ = open_network(tiny_checkpoint, "cuda", (1, 4), graphs=graphs)
    device.warm()
    for count in (1, 3, 1, 4):  # back and forth between graphs that share memory
        for stage in (Stage.LOW, Stage.HIGH):
            images = [rolled(image, i) for i in range(count)]
            expected = network.run(stage, images)
            # bfloat16 keeps 8 bits, so errors are relative to the logits, which reach 15 here.
            error = np.linalg.norm(device.run(stage, images) - expected) / np.linalg.norm(expected)
            assert error < 0.02


@pytest.fixture
def both_runtimes() -> None:
    pytest.importorskip("onnx", reason="pip install 'overtone[server]'")
    pytest.importorskip("onnxruntime", reason="pip install 'overtone[server]'")


@pytest.mark.usefixtures("both_runtimes")
@pytest.mark.parametrize("stage", [Stage.LOW, Stage.HIGH])
def test_onnx_runtime_says_what_torch_says(
    mixing: Path,
    image: DecodedImage,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    seconds = iter([2.0, 1.0] * 2)  # torch's, then those of ONNX Runtime, for each stage
    monkeypatch.setattr(onnx_runtime, "_seconds", lambda forward, inputs: next(seconds))
    torch_network, _ = open_network(mixing, "cpu", (1, 2), runtime="torch")
    network, _ = open_network(mixing, "cpu", (1, 2))
    assert isinstance(network, TorchNetwork)
    with caplog.at_level(logging.INFO):
        network.warm()
    assert caplog.text.count("runs in ONNX Runtime") == 2
    images = [rolled(image, by) for by in range(3)]  # a size that was not warmed, too
    np.testing.assert_allclose(network.run(stage, images), torch_network.run(stage, images), atol=1e-4)


@pytest.mark.usefixtures("both_runtimes")
def test_an_export_is_made_once(
    mixing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[bytes] = []
    export = onnx_runtime.export

    def counted(*given: Any) -> bytes:
        made.append(export(*given))
        return made[-1]

    monkeypatch.setattr(onnx_runtime, "_seconds", lambda forward, inputs: 1.0)
    monkeypatch.setattr(onnx_runtime, "export", counted)
    cache = ExportCache(tmp_path / "new" / "folder")

    def start() -> int:
        """How many exports there have been after another start."""
        open_network(mixing, "cpu", (1,), cache=cache)[0].warm()
        return len(made)

    assert [start(), start()] == [2, 2]
    low, high = sorted(tmp_path.glob("new/folder/*"), key=lambda path: path.stat().st_size)
    high.write_bytes(high.read_bytes()[:-1])
    assert [start(), start()] == [3, 3]
    assert "is damaged and is made anew" in caplog.text
    high.write_bytes(low.read_bytes())  # whole, but of another network
    assert [start(), start()] == [4, 4]
    assert "that was kept is of no use" in caplog.text


@pytest.mark.usefixtures("both_runtimes")
def test_what_an_export_depends_on(tiny_checkpoint: Path) -> None:
    cascade = load(tiny_checkpoint)[0]
    inputs: Inputs = (torch.zeros(4, 6, 8, 8),)
    given = [("a", "low"), ("a", "low"), ("b", "low"), ("a", "high")]
    keys = [onnx_runtime.key_of(of, cascade, inputs, name) for of, name in given]
    keys.append(onnx_runtime.key_of("a", cascade, (torch.zeros(4, 6, 9, 9),), "low"))
    keys.append(onnx_runtime.key_of("a", torch.nn.Identity(), inputs, "low"))
    assert keys[0] == keys[1]
    assert len(set(keys)) == 5


@pytest.mark.usefixtures("both_runtimes")
@pytest.mark.parametrize(
    ("name", "replacement", "why"),
    [
        ("_seconds", lambda forward, inputs: 1.0, "runs in torch"),
        ("TOLERANCE", 0.0, "differs by"),
        ("OPSET", -1, "cannot run it"),
    ],
)
def test_torch_where_onnx_runtime_is_no_better(
    tiny_checkpoint: Path,
    image: DecodedImage,
    name: str,
    replacement: object,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(onnx_runtime, name, replacement)
    network, _ = open_network(tiny_checkpoint, "cpu", (1,))
    with caplog.at_level(logging.INFO):
        network.warm()
    assert caplog.text.count(why) == 2
    assert np.isfinite(network.run(Stage.HIGH, [image])).all()
