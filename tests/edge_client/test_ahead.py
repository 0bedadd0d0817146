"""High sent ahead of the answer, over real sockets."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from overtone.edge_client import AsyncClient
from overtone.edge_client import link as links
from overtone.frequency import Encoded, Profile, encode, fit, open_rgb
from overtone.link import Link
from overtone.protos import overtone_pb2 as pb
from tests.edge_client.fakes import FakeCascade, Stream, confident, serve_grpc

Picture = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]


@pytest.fixture
def large_profile(tiny_profile: Profile) -> Profile:
    """Of pictures whose high takes seconds on a thin link."""
    return replace(tiny_profile, size=448)


@pytest.fixture
def picture() -> Picture:
    return np.random.default_rng(5).integers(0, 256, (448, 448, 3), np.uint8)


@pytest.fixture
def encoded(picture: Picture, large_profile: Profile) -> Encoded:
    return encode(fit(open_rgb(picture), large_profile.size), large_profile)


async def some_high(stream: Stream, number: int) -> None:
    while not stream.highs.get(number):
        await asyncio.sleep(0.001)


async def test_high_comes_unasked_and_stops_when_the_answer_comes(
    picture: Picture, large_profile: Profile, encoded: Encoded
) -> None:
    """The server answers when it has seen a chunk: what comes after that is what was on its way."""

    async def answering(stream: Stream, image: pb.Image) -> None:
        await some_high(stream, image.id)
        await stream.answer(image.id)

    cascade = FakeCascade(large_profile, answering)
    async with (
        serve_grpc(cascade) as address,
        Link(address.removeprefix("grpc://"), up="400kbit", rtt="10ms") as link,
        AsyncClient(f"grpc://{link.address}", policy="ahead", timeout=60.0) as client,
    ):
        answers = [await client.classify(picture) for _ in range(4)]
    assert {(answer.stage, answer.plan) for answer in answers} == {("low", "ahead")}
    assert not any(image.high_follows for image in cascade.images)
    spent = [answer.bytes_sent - len(encoded.low) for answer in answers]
    assert 0 < min(spent) < len(encoded.high) / 4
    assert sum(spent) >= sum(map(len, cascade.streams[0].highs.values()))
    assert not cascade.streams[0].whole


async def test_asked_for_it_goes_on_where_it_was(
    picture: Picture, large_profile: Profile, encoded: Encoded
) -> None:
    seen = []

    async def doubtful(stream: Stream, image: pb.Image) -> None:
        await some_high(stream, image.id)
        seen.append(len(stream.highs[image.id]))
        await stream.need_high(image.id)
        assert await stream.high(image.id) == encoded.high
        await stream.answer(image.id, pb.STAGE_HIGH)

    async with (
        serve_grpc(FakeCascade(large_profile, doubtful)) as address,
        AsyncClient(address, policy="ahead", timeout=60.0) as client,
    ):
        answer = await client.classify(picture)
    assert 0 < seen[0] < len(encoded.high)
    assert answer.stage == "high"
    assert answer.bytes_sent == len(encoded.low) + len(encoded.high)


async def test_a_server_that_is_sure_gets_nothing_from_a_slow_link(
    monkeypatch: pytest.MonkeyPatch, picture: Picture, large_profile: Profile, encoded: Encoded
) -> None:
    monkeypatch.setattr(links, "FIRST_RATE", 1.0)
    async with (
        serve_grpc(FakeCascade(large_profile, confident)) as address,
        AsyncClient(address, policy="ahead") as client,
    ):
        answer = await client.classify(picture)
    assert answer.bytes_sent == len(encoded.low)
