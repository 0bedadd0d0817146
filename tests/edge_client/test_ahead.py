"""High sent ahead of the answer, over real sockets."""

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
    """A profile of images whose high takes seconds on a thin link."""
    return replace(tiny_profile, size=448)


@pytest.fixture
def photograph() -> Photograph:
    return np.random.default_rng(5).integers(0, 256, (448, 448, 3), np.uint8)


@pytest.fixture
def encoded(photograph: Photograph, tiny_profile: Profile) -> Encoded:
    return encode(fit(open_rgb(photograph), tiny_profile.size), tiny_profile)


async def test_high_comes_unasked_and_stops_when_the_answer_comes(
    photograph: Photograph, tiny_profile: Profile, encoded: Encoded
) -> None:
    """The server answers when it has a chunk; what comes after that was on its way already."""

    async def answering(stream: Stream, message: pb.Image) -> None:
        await until(lambda: stream.highs.get(message.id))
        await stream.answer(message.id)

    cascade = FakeCascade(tiny_profile, answering)
    async with (
        serve_grpc(cascade) as address,
        Link(address.removeprefix("grpc://"), up="400kbit", rtt="10ms") as link,
        AsyncClient(f"grpc://{link.address}", policy="ahead", timeout=60.0) as client,
    ):
        answers = [await client.classify(photograph) for _ in range(4)]
    assert {(answer.stage, answer.plan) for answer in answers} == {("low", "ahead")}
    assert not any(image.high_follows for image in cascade.images)
    spent = [answer.bytes_sent - len(encoded.low) for answer in answers]
    assert 0 < min(spent) < len(encoded.high) / 4
    assert sum(spent) >= sum(map(len, cascade.streams[0].highs.values()))
    assert not cascade.streams[0].whole


async def test_high_continues_where_it_was_when_it_is_asked_for(
    talk: Talk, photograph: Photograph, encoded: Encoded
) -> None:
    seen = []

    async def doubtful(stream: Stream, message: pb.Image) -> None:
        await until(lambda: stream.highs.get(message.id))
        seen.append(len(stream.highs[message.id]))
        await stream.need_high(message.id)
        assert await stream.high(message.id) == encoded.high
        await stream.answer(message.id, pb.STAGE_HIGH)

    async with talk(doubtful, policy="ahead", timeout=60.0) as (_, client):
        answer = await client.classify(photograph)
    assert 0 < seen[0] < len(encoded.high)
    assert answer.stage == "high"
    assert answer.bytes_sent == len(encoded.low) + len(encoded.high)
