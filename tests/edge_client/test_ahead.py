"""Layers sent ahead of the answer, over real sockets."""

from dataclasses import replace

import numpy as np
import pytest

from overtone.edge_client import AsyncClient
from overtone.frequency import Encoded, Profile, encode, fit, open_rgb
from overtone.link import Link
from overtone.protos import overtone_pb2 as pb
from tests.conftest import Photograph
from tests.edge_client.conftest import Talk
from tests.edge_client.fakes import FakeCascade, Stream, serve_grpc
from tests.waiting import until


@pytest.fixture
def tiny_profile(tiny_profile: Profile) -> Profile:
    """A profile of images whose second layer takes seconds on a thin link."""
    return replace(tiny_profile, size=448)


@pytest.fixture
def photograph() -> Photograph:
    return np.random.default_rng(5).integers(0, 256, (448, 448, 3), np.uint8)


@pytest.fixture
def encoded(photograph: Photograph, tiny_profile: Profile) -> Encoded:
    return encode(fit(open_rgb(photograph), tiny_profile.size), tiny_profile)


async def test_a_layer_comes_unasked_and_stops_when_the_answer_comes(
    photograph: Photograph, tiny_profile: Profile, encoded: Encoded
) -> None:
    """The server answers when it has a chunk; what comes after that was on its way already."""

    async def answering(stream: Stream, message: pb.Image) -> None:
        await until(lambda: stream.chunks.get((message.id, 2)))
        await stream.answer(message.id)

    cascade = FakeCascade(tiny_profile, answering)
    async with (
        serve_grpc(cascade) as address,
        Link(address.removeprefix("grpc://"), up="400kbit", rtt="10ms") as link,
        AsyncClient(f"grpc://{link.address}", policy="ahead", timeout=60.0) as client,
    ):
        answers = [await client.classify(photograph) for _ in range(4)]
    assert {(answer.layers, answer.plan.name) for answer in answers} == {(1, "ahead")}
    assert not any(image.promised for image in cascade.images)
    spent = [answer.bytes_sent - len(encoded.layers[0]) for answer in answers]
    assert 0 < min(spent) < len(encoded.layers[1]) / 4
    assert sum(spent) >= sum(map(len, cascade.streams[0].of_layer()))
    assert not cascade.streams[0].whole


async def test_a_layer_continues_where_it_was_when_it_is_asked_for(
    talk: Talk, photograph: Photograph, encoded: Encoded
) -> None:
    seen = []

    async def doubtful(stream: Stream, message: pb.Image) -> None:
        await until(lambda: stream.chunks.get((message.id, 2)))
        seen.append(len(stream.chunks[message.id, 2]))
        await stream.need_more(message.id)
        assert await stream.layer(message.id) == encoded.layers[1]
        await stream.answer(message.id, pb.STAGE_HIGH)

    async with talk(doubtful, policy="ahead", timeout=60.0) as (_, client):
        answer = await client.classify(photograph)
    assert 0 < seen[0] < len(encoded.layers[1])
    assert answer.stage == "high"
    assert answer.bytes_sent == encoded.size
