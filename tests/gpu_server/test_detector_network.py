from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.networks.detector import DetectorNetwork
from overtone.models.detection.checkpoint import load_detector
from overtone.models.detection.detector import Detector
from tests.gpu_server.conftest import needs_cuda

SIZES = (1, 2, 4)


def network(path: Path, device: str = "cpu") -> DetectorNetwork:
    detector, card = load_detector(path)
    return DetectorNetwork(detector, card.profile, torch.device(device), SIZES)


def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that low reads from now on."""
    sizes: list[int] = []
    low = Detector.low

    def counting(self: Detector, x6: torch.Tensor) -> Sequence[object]:
        sizes.append(len(x6))
        return low(self, x6)

    monkeypatch.setattr(Detector, "low", counting)
    return sizes


@pytest.mark.parametrize(("pads", "expected"), [(False, [1, 2, 3, 5]), (True, [1, 2, 4, 5])])
def test_padded_batches_give_the_same_rows(
    tiny_detector: Path,
    image: DecodedImage,
    monkeypatch: pytest.MonkeyPatch,
    pads: bool,
    expected: list[int],
) -> None:
    detector = network(tiny_detector)
    alone = detector.run(Stage.LOW, [image])
    sizes, detector.pads = batches(monkeypatch), pads
    for count in (1, 2, 3, 5):
        rows = detector.run(Stage.LOW, [image] * count)
        np.testing.assert_allclose(rows, np.repeat(alone, count, axis=0), atol=1e-4)
    assert sizes == expected


def test_batches_are_padded_on_cuda_alone(tiny_detector: Path) -> None:
    assert not network(tiny_detector).pads


@needs_cuda
def test_cuda_agrees_with_the_cpu(tiny_detector: Path, image: DecodedImage) -> None:
    cpu, cuda = network(tiny_detector), network(tiny_detector, "cuda")
    assert cuda.pads
    cuda.warm()
    for stage in (Stage.LOW, Stage.HIGH):
        expected = cpu.run(stage, [image] * 3)
        np.testing.assert_allclose(cuda.run(stage, [image] * 3), expected, atol=0.01)
