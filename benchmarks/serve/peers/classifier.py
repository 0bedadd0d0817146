"""The part that the peers' handlers share: decode payloads, run the network and answer, as our server does."""

import os
from collections.abc import Sequence
from typing import Any

import torch

from overtone.frequency import decode, split
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.networks.torch_network import open_network
from overtone.gpu_server.tasks.classification import best, softmax
from overtone.models import read_card

# How a peer's worker is told what to serve.
MODEL, DEVICE, STAGE, SIZE = "PEER_MODEL", "PEER_DEVICE", "PEER_STAGE", "PEER_BATCH"
WORKERS, PORT = "PEER_WORKERS", "PEER_PORT"


class Classifier:
    """One network in a worker process, which has its share of the cores."""

    def __init__(self) -> None:
        workers = int(os.environ[WORKERS])
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
        size = int(os.environ[SIZE])
        sizes = tuple(2**i for i in range(size.bit_length()) if 2**i <= size)
        self._network, _ = open_network(os.environ[MODEL], os.environ[DEVICE], sizes)
        self._network.warm()
        self._stage = Stage(os.environ[STAGE])
        card = read_card(os.environ[MODEL])
        self._profile = card.profile
        self._temperatures = card.temperatures

    def decode(self, body: bytes) -> DecodedImage:
        """The image in the body of a request."""
        return DecodedImage(decode(split(body), self._profile))

    def run(self, images: Sequence[DecodedImage]) -> list[dict[str, Any]]:
        """Answers as JSON has them."""
        rows = self._network.run(self._stage, images)
        answers = []
        for image, row in zip(images, rows, strict=True):
            probabilities = softmax(row, self._temperatures[image.layers - 1])
            (top,) = best(probabilities, self._profile.labels, 1)
            answers.append({"label": top.label, "index": top.index, "confidence": top.probability})
        return answers


def batch_size() -> int:
    """The largest batch."""
    return int(os.environ[SIZE])


def workers() -> int:
    """How many workers run the network."""
    return int(os.environ[WORKERS])


def port() -> int:
    """Where to listen."""
    return int(os.environ[PORT])
