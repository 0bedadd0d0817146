"""The client against a gRPC server whose streams and connections break."""

import asyncio
import contextlib

import pytest

from overtone.edge_client import AsyncClient, ConnectionLost, DeadlineExceeded, Unavailable, grpc_transport
from overtone.frequency import Encoded, Profile
from overtone.protos import overtone_pb2 as pb
from tests.conftest import Photograph
from tests.edge_client import fakes
from tests.edge_client.conftest import Talk
from tests.waiting import until


async def dying_between(stream: fakes.Stream, image: pb.Image) -> None:
    """Asks for more, and is gone before it comes."""
    await stream.need_more(image.id)
    stream.die()


async def dying_afterwards(stream: fakes.Stream, image: pb.Image) -> None:
    if not image.promised:
        await stream.need_more(image.id)
    await stream.layer(image.id)
    stream.die()


@pytest.mark.parametrize("policy", ["on_demand", "at_once"])
@pytest.mark.parametrize("death", [fakes.dying, dying_between, dying_afterwards])
async def test_after_a_lost_stream_all_layers_are_sent(
    talk: Talk, policy: str, death: object, photograph: Photograph, encoded: Encoded
) -> None:
    async with talk(death, fakes.escalating, policy=policy) as (cascade, client):
        answer = await client.classify(photograph)
    assert answer.stage == "high"
    assert [image.promised for image in cascade.images] == [2 if policy == "at_once" else 0, 2]
    assert encoded.size + len(encoded.layers[0]) <= answer.bytes_sent <= 2 * encoded.size


@pytest.mark.parametrize("death", [fakes.dying, dying_between, dying_afterwards])
async def test_a_stream_that_is_lost_each_time_is_a_clear_error_in_the_end(
    talk: Talk, death: object, photograph: Photograph
) -> None:
    async with talk(death) as (_, client):
        with pytest.raises((ConnectionLost, DeadlineExceeded)):
            await client.classify(photograph, timeout=0.3)


async def test_a_stream_may_be_lost_several_times(talk: Talk, photograph: Photograph) -> None:
    async with talk(*[fakes.dying] * 4, fakes.escalating) as (cascade, client):
        assert (await client.classify(photograph)).stage == "high"
    assert len(cascade.images) == 5


async def test_a_server_that_comes_back_is_found(photograph: Photograph, tiny_profile: Profile) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with fakes.serve_grpc(fakes.FakeCascade(tiny_profile, fakes.confident)) as address:
            client = await stack.enter_async_context(AsyncClient(address))
            await client.classify(photograph)
        asking = asyncio.create_task(client.classify(photograph))
        await asyncio.sleep(0.1)
        port = int(address.rpartition(":")[2])
        await stack.enter_async_context(
            fakes.serve_grpc(fakes.FakeCascade(tiny_profile, fakes.confident), port)
        )
        assert (await asking).label == "class 3"


async def test_images_left_behind_by_go_away_are_sent_once_more(talk: Talk, photograph: Photograph) -> None:
    async def leaving(stream: fakes.Stream, image: pb.Image) -> None:
        await stream.say(go_away=pb.GoAway(reason="draining"))
        stream.die()

    async with talk(leaving, fakes.escalating) as (cascade, client):
        assert (await client.classify(photograph)).stage == "high"
    assert [image.promised for image in cascade.images] == [0, 2]


async def test_go_away_moves_new_images_and_lets_old_ones_finish(talk: Talk, photograph: Photograph) -> None:
    going = asyncio.Event()

    async def leaving(stream: fakes.Stream, image: pb.Image) -> None:
        await stream.say(go_away=pb.GoAway(reason="draining"))
        await going.wait()
        await stream.answer(image.id, index=7)

    async with talk(leaving, fakes.confident) as (cascade, client):
        old = asyncio.create_task(client.classify(photograph))
        await until(lambda: cascade.images)
        await asyncio.sleep(0.05)
        assert (await client.classify(photograph)).index == 3
        going.set()
        assert (await old).index == 7
    assert len(cascade.hellos) == 2
    assert len(cascade.images) == 2


async def test_a_stream_begun_without_a_session_sends_several_at_a_time(
    talk: Talk, photograph: Photograph
) -> None:
    """The session before has ended; how many images the server takes is known from it."""
    waiting: list[int] = []

    async def last(stream: fakes.Stream, image: pb.Image) -> None:
        await stream.answer(image.id)
        stream.die()

    async def together(stream: fakes.Stream, image: pb.Image) -> None:
        waiting.append(image.id)
        if len(waiting) == 3:
            for number in waiting:
                await stream.answer(number)

    async with talk(last, together) as (_, client):
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
    cascade = fakes.FakeCascade(tiny_profile, fakes.leaving_for_ever, fakes.silent)
    async with fakes.serve_grpc(cascade) as address:
        async with AsyncClient(address) as client:
            asking = [asyncio.create_task(client.classify(photograph))]
            await until(lambda: cascade.images)
            await asyncio.sleep(0.05)
            cascade.welcomed = welcomed
            asking.append(asyncio.create_task(client.classify(photograph)))
            await until(lambda: len(cascade.hellos) == 2 and (not welcomed or len(cascade.images) == 2))
        await asyncio.wait(asking)
        assert not any(image.cancelled() for image in asking)
        assert [str(image.exception()).partition(";")[0] for image in asking] == ["the client was closed"] * 2
    assert len(cascade.hellos) == 2


async def test_no_welcome_is_an_error_in_time(tiny_profile: Profile) -> None:
    cascade = fakes.FakeCascade(tiny_profile, fakes.confident)
    cascade.welcomed = False
    async with fakes.serve_grpc(cascade) as address:
        with pytest.raises((DeadlineExceeded, Unavailable)):
            async with AsyncClient(address, timeout=0.3):
                pass
