"""The client against a gRPC server whose streams and connections break."""

import asyncio
import contextlib

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.edge_client import (
    AsyncClient,
    ConnectionLost,
    DeadlineExceeded,
    Unavailable,
    grpc_transport,
)
from overtone.frequency import Encoded, Profile, encode, fit, open_rgb
from overtone.link import Link
from overtone.protos import overtone_pb2 as pb
from tests.edge_client.fakes import FakeCascade, Stream, confident, escalating, serve_grpc

Photograph = NDArray[np.uint8]


@pytest.fixture
def encoded(photograph: Photograph, tiny_profile: Profile) -> Encoded:
    return encode(fit(open_rgb(photograph), tiny_profile.size), tiny_profile)


async def silent(stream: Stream, image: pb.Image) -> None:
    """Never answers."""


async def dying(stream: Stream, image: pb.Image) -> None:
    """Breaks off at once."""
    stream.die()


async def dying_between(stream: Stream, image: pb.Image) -> None:
    """Asks for high, and is gone before it comes."""
    await stream.need_high(image.id)
    stream.die()


async def dying_after_high(stream: Stream, image: pb.Image) -> None:
    if not image.high_follows:
        await stream.need_high(image.id)
    await stream.high(image.id)
    stream.die()


async def leaving_for_ever(stream: Stream, image: pb.Image) -> None:
    await stream.say(go_away=pb.GoAway(reason="draining"))


@pytest.mark.parametrize("policy", ["on_demand", "at_once"])
@pytest.mark.parametrize("death", [dying, dying_between, dying_after_high])
async def test_after_a_lost_stream_both_payloads_are_sent(
    policy: str, death: object, photograph: Photograph, tiny_profile: Profile, encoded: Encoded
) -> None:
    cascade = FakeCascade(tiny_profile, death, escalating)  # type: ignore[arg-type]
    async with serve_grpc(cascade) as address, AsyncClient(address, policy=policy) as client:  # type: ignore[arg-type]
        answer = await client.classify(photograph)
    assert answer.stage == "high"
    assert [image.high_follows for image in cascade.images] == [policy == "at_once", True]
    both = len(encoded.low) + len(encoded.high)
    assert both + len(encoded.low) <= answer.bytes_sent <= 2 * both


@pytest.mark.parametrize("death", [dying, dying_between, dying_after_high])
async def test_a_stream_lost_twice_is_a_clear_error(
    death: object, photograph: Photograph, tiny_profile: Profile
) -> None:
    cascade = FakeCascade(tiny_profile, death)  # type: ignore[arg-type]
    async with serve_grpc(cascade) as address, AsyncClient(address, timeout=5.0) as client:
        with pytest.raises(ConnectionLost, match="check the link"):
            await client.classify(photograph)
        assert len(cascade.images) == 2


async def test_a_server_killed_for_good_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, photograph: Photograph, tiny_profile: Profile
) -> None:
    monkeypatch.setattr(grpc_transport, "PAUSES", (0.0, 0.05, 0.1))
    killed = asyncio.Event()

    async def last_word(stream: Stream, image: pb.Image) -> None:
        await stream.need_high(image.id)
        killed.set()

    cascade = FakeCascade(tiny_profile, last_word)
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(contextlib.AsyncExitStack())
        address = await server.enter_async_context(serve_grpc(cascade))
        client = await stack.enter_async_context(AsyncClient(address, timeout=5.0))
        asking = asyncio.create_task(client.classify(photograph))
        await killed.wait()
        await server.aclose()
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await asking


async def test_a_server_that_comes_back_is_found(photograph: Photograph, tiny_profile: Profile) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with serve_grpc(FakeCascade(tiny_profile, confident)) as address:
            client = await stack.enter_async_context(AsyncClient(address))
            await client.classify(photograph)
        asking = asyncio.create_task(client.classify(photograph))
        await asyncio.sleep(0.1)
        port = int(address.rpartition(":")[2])
        await stack.enter_async_context(serve_grpc(FakeCascade(tiny_profile, confident), port))
        assert (await asking).label == "class 3"


async def test_a_link_cut_and_restored_is_survived(photograph: Photograph, tiny_profile: Profile) -> None:
    cascade = FakeCascade(tiny_profile, silent, escalating)
    async with (
        serve_grpc(cascade) as address,
        Link(address.removeprefix("grpc://")) as link,
        AsyncClient(f"grpc://{link.address}") as client,
    ):
        asking = asyncio.create_task(client.classify(photograph))
        while not cascade.images:
            await asyncio.sleep(0.01)
        await link.cut()
        await asyncio.sleep(0.05)
        link.restore()
        assert (await asking).stage == "high"


async def test_images_left_behind_by_go_away_are_sent_once_more(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    async def leaving(stream: Stream, image: pb.Image) -> None:
        await stream.say(go_away=pb.GoAway(reason="draining"))
        stream.die()

    cascade = FakeCascade(tiny_profile, leaving, escalating)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        assert (await client.classify(photograph)).stage == "high"
    assert [image.high_follows for image in cascade.images] == [False, True]


async def test_go_away_moves_new_images_and_lets_old_ones_finish(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    going = asyncio.Event()

    async def leaving(stream: Stream, image: pb.Image) -> None:
        await stream.say(go_away=pb.GoAway(reason="draining"))
        await going.wait()
        await stream.answer(image.id, index=7)

    cascade = FakeCascade(tiny_profile, leaving, confident)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        old = asyncio.create_task(client.classify(photograph))
        while not cascade.images:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert (await client.classify(photograph)).index == 3
        going.set()
        assert (await old).index == 7
    assert len(cascade.hellos) == 2
    assert len(cascade.images) == 2


async def test_a_stream_begun_without_a_session_sends_several_at_a_time(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    """The session before has ended; how many images the server takes is known from it."""
    waiting: list[int] = []

    async def last(stream: Stream, image: pb.Image) -> None:
        await stream.answer(image.id)
        stream.die()

    async def together(stream: Stream, image: pb.Image) -> None:
        waiting.append(image.id)
        if len(waiting) == 3:
            for number in waiting:
                await stream.answer(number)

    async with (
        serve_grpc(FakeCascade(tiny_profile, last, together)) as address,
        AsyncClient(address) as client,
    ):
        await client.classify(photograph)
        await asyncio.sleep(0.05)
        results = [result.get() async for result in client.stream([photograph] * 3)]
    assert len(results) == 3


@pytest.mark.parametrize("welcomed", [True, False])
async def test_closing_ends_what_is_under_way(
    welcomed: bool, monkeypatch: pytest.MonkeyPatch, photograph: Photograph, tiny_profile: Profile
) -> None:
    """Neither an image in flight nor one that waits for a session opens another session."""
    monkeypatch.setattr(grpc_transport, "CLOSE_GRACE", 0.05)
    cascade = FakeCascade(tiny_profile, leaving_for_ever, silent)
    async with serve_grpc(cascade) as address:
        async with AsyncClient(address) as client:
            asking = [asyncio.create_task(client.classify(photograph))]
            while not cascade.images:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            cascade.welcomed = welcomed
            asking.append(asyncio.create_task(client.classify(photograph)))
            while len(cascade.hellos) < 2 or (welcomed and len(cascade.images) < 2):
                await asyncio.sleep(0.01)
        await asyncio.wait(asking)
        assert not any(image.cancelled() for image in asking)
        assert [str(image.exception()).partition(";")[0] for image in asking] == ["the client was closed"] * 2
    assert len(cascade.hellos) == 2


async def test_no_welcome_is_an_error_in_time(tiny_profile: Profile) -> None:
    cascade = FakeCascade(tiny_profile, confident)
    cascade.welcomed = False
    async with serve_grpc(cascade) as address:
        with pytest.raises((DeadlineExceeded, Unavailable)):
            async with AsyncClient(address, timeout=0.3):
                pass
