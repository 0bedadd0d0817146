"""The device "stub": whole servers with it, and that they say so."""

import logging
from pathlib import Path

import numpy as np
import pytest

from overtone.frequency import Encoded, join
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.networks.stub import LARGEST, StubNetwork
from overtone.gpu_server.networks.torch_network import open_network
from tests.gpu_server.conftest import client_of
from tests.serving import Serve


def test_every_image_is_of_the_first_class(tiny_checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        network, card = open_network(tiny_checkpoint, "stub")
    assert isinstance(network, StubNetwork)
    assert "every answer is the first class" in caplog.text
    assert network.batch_size(1000) == LARGEST
    assert network.batch_size(3) == 3
    example = network.example()
    assert example.layers == len(card.profile.ladder)
    rows = network.run(Stage.HIGH, [example] * 3)
    assert rows.shape == (3, 10)
    assert set(np.argmax(rows, axis=1)) == {0}


async def test_a_server_of_it_decodes_and_answers(serve: Serve, encoded: Encoded) -> None:
    async with serve(device="stub") as server, client_of(server) as http:
        reply = await http.post("/v1/images", content=join(encoded.layers[:1]))
        assert (reply.status_code, reply.json()["index"], reply.json()["confident"]) == (200, 0, True)
        damaged = await http.post("/v1/images", content=join([encoded.layers[0][:-1]]))
        assert damaged.status_code == 400
