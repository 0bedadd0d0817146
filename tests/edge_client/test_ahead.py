"""High sent ahead of the answer, over real sockets."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from overtone.edge_client import AsyncClient
from overtone.frequency import Encoded, Profile, encode, fit, open_rgb
from overtone.link import Link
from overtone.protos import overtone_pb2 as pb
from tests.edge_client.fakes import FakeCascade, Stream, serve_grpc

Pixels = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]


@pytest.fixture
def large_profile(tiny_profile: Profile) -> Profile:
    """A profile of images whose high takes seconds on a thin link."""
    return replace(tiny_profile, size=448)


@pytest.fixture
def image() -> Pixels:
    return np.random.default_rng(5).integers(0, 256, (448, 448, 3), np.uint8)


@pytest.fixture
def encoded(image: Pixels, large_profile: Profile) -> Encoded:
    return encode(fit(open_rgb(image), large_profile.size), large_profile)


async def some_high(stream: Stream, number: int) -> None:
    while not stream.highs.get(number):
        await asyncio.sleep(0.001)


async def test_high_comes_unasked_and_stops_when_the_answer_comes(
    image: Pixels, large_profile: Profile, encoded: Encoded
) -> None:
    """The server answers when it has a chunk; what comes after that was on its way already."""

    async def answering(stream: Stream, message: pb.Image) -> None:
        await some_high(stream, message.id)
        await stream.answer(message.id)

    cascade = FakeCascade(large_profile, answering)
    async with (
        serve_grpc(cascade) as address,
        Link(address.removeprefix("grpc://"), up="400kbit", rtt="10ms") as link,
        AsyncClient(f"grpc://{link.address}", policy="ahead", timeout=60.0) as client,
    ):
        answers = [await client.classify(image) for _ in range(4)]
    assert {(answer.stage, answer.plan) for answer in answers} == {("low", "ahead")}
    assert not any(image.high_follows for image in cascade.images)
    spent = [answer.bytes_sent - len(encoded.low) for answer in answers]
    assert 0 < min(spent) < len(encoded.high) / 4
    assert sum(spent) >= sum(map(len, cascade.streams[0].highs.values()))
    assert not cascade.streams[0].whole


async def test_high_continues_where_it_was_when_it_is_asked_for(
    image: Pixels, large_profile: Profile, encoded: Encoded
) -> None:
    seen = []

    async def doubtful(stream: Stream, message: pb.Image) -> None:
        await some_high(stream, message.id)
        seen.append(len(stream.highs[message.id]))
        await stream.need_high(message.id)
        assert await stream.high(message.id) == encoded.high
        await stream.answer(message.id, pb.STAGE_HIGH)

    async with (
        serve_grpc(FakeCascade(large_profile, doubtful)) as address,
        AsyncClient(address, policy="ahead", timeout=60.0) as client,
    ):
        answer = await client.classify(image)
    assert 0 < seen[0] < len(encoded.high)
    assert answer.stage == "high"
    assert answer.bytes_sent == len(encoded.low) + len(encoded.high)
