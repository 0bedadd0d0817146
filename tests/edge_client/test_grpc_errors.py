"""The client against a gRPC server that refuses, fails, or is no server of ours."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from overtone.edge_client import AsyncClient, errors
from overtone.frequency import Profile
from overtone.protos import overtone_pb2 as pb
from tests.conftest import Photograph
from tests.edge_client.conftest import Talk
from tests.edge_client.fakes import FakeCascade, Stream, confident, dying, escalating, serve_grpc
from tests.edge_client.listening import listening


@pytest.mark.parametrize(
    ("refusals", "timeout", "least", "most"), [(2, 30.0, 3, 3), (99, 3.0, 3, 7), (99, 0.04, 0, 1)]
)
async def test_a_busy_server_is_asked_again_when_it_likes_and_less_and_less_often(
    talk: Talk, photograph: Photograph, refusals: int, timeout: float, least: int, most: int
) -> None:
    """As long as there is time."""

    async def busy(stream: Stream, image: pb.Image) -> None:
        if len(stream.server.images) <= refusals:
            await stream.fail(image.id, code=8, message="queue full", retry_after_ms=50)
        else:
            await stream.answer(image.id)

    async with talk(busy) as (cascade, client):
        if refusals < most:
            await client.classify(photograph, timeout=timeout)
        else:
            with pytest.raises((errors.Refused, errors.DeadlineExceeded)):
                await client.classify(photograph, timeout=timeout)
    assert least <= len(cascade.images) <= most


async def test_a_bad_image_fails_alone(talk: Talk, photograph: Photograph) -> None:
    async def picky(stream: Stream, image: pb.Image) -> None:
        if image.id == 1:
            await stream.fail(image.id, code=3, message="damaged")
        else:
            await stream.answer(image.id)

    async with talk(picky) as (cascade, client):
        with pytest.raises(errors.BadPayload, match="damaged"):
            await client.classify(photograph)
        assert (await client.classify(photograph)).label == "class 3"
    assert len(cascade.hellos) == 1


async def test_answers_that_make_no_sense(talk: Talk, photograph: Photograph) -> None:
    async def unknown_class(stream: Stream, image: pb.Image) -> None:
        await stream.answer(image.id, index=10)

    async def empty(stream: Stream, image: pb.Image) -> None:
        await stream.say(answer=pb.Answer(id=image.id, stage=pb.STAGE_LOW, layers=1))

    async def of_nothing(stream: Stream, image: pb.Image) -> None:
        top = [pb.Score(index=1, probability=0.5)]
        await stream.say(answer=pb.Answer(id=image.id, stage=pb.STAGE_LOW, top=top))

    async def greedy(stream: Stream, image: pb.Image) -> None:
        await stream.need_more(image.id, 3)

    for nonsense in (unknown_class, empty, of_nothing, greedy):
        async with talk(nonsense) as (_, client):
            with pytest.raises(errors.ProtocolError):
                await client.classify(photograph)


async def test_messages_about_unknown_images_are_ignored(talk: Talk, photograph: Photograph) -> None:
    async def confused(stream: Stream, image: pb.Image) -> None:
        await stream.answer(4711)
        await stream.need_more(4711)
        await stream.say()
        await stream.answer(image.id)

    async with talk(confused) as (_, client):
        assert (await client.classify(photograph)).label == "class 3"


async def test_bytes_that_are_not_a_message() -> None:
    async def babble(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
        await context.write(b"\xff\xff\xff\xff not a message")

    handler = grpc.stream_stream_rpc_method_handler(babble)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("overtone.v2.Cascade", {"Session": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with pytest.raises(errors.ProtocolError):
        async with AsyncClient(f"grpc://127.0.0.1:{port}", timeout=5.0):
            pass
    await server.stop(0)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 9])
async def test_a_port_that_is_something_else(sent: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await reader.read(100)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async with listening(handle) as address:
        with pytest.raises((errors.Unavailable, errors.DeadlineExceeded, errors.ProtocolError)):
            async with AsyncClient(f"grpc://{address}", timeout=1.0):
                pass


async def test_nothing_is_logged_unasked(tiny_profile: Profile) -> None:
    """Neither by us nor by gRPC, whose core would log this handshake."""
    script = """
import sys
from overtone import Client, OvertoneError
try:
    Client(sys.argv[1], timeout=5.0).__enter__()
except OvertoneError as error:
    print(error)
"""
    async with serve_grpc(FakeCascade(tiny_profile, confident)) as address:
        address = address.replace("grpc://", "grpcs://")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, address, stdout=PIPE, stderr=PIPE, cwd=Path(__file__).parents[2]
        )
        printed, logged = await process.communicate()
    assert b"handshake failed" in printed
    assert logged == b""


async def test_a_wrong_token_is_reported_at_once(tiny_profile: Profile) -> None:
    class Guarded(FakeCascade):
        async def admit(self, context: grpc.aio.ServicerContext) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such token")

    async with serve_grpc(Guarded(tiny_profile, confident)) as address:
        with pytest.raises(errors.Unauthenticated, match="token"):
            async with AsyncClient(address, token="wrong"):
                pass


async def test_a_full_server_is_asked_again_when_it_likes(
    photograph: Photograph, tiny_profile: Profile
) -> None:
    class Full(FakeCascade):
        full = 2

        async def admit(self, context: grpc.aio.ServicerContext) -> None:
            if self.full and self.streams:
                self.full -= 1
                pushback = (("grpc-retry-pushback-ms", "20"),)
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many sessions", pushback)

    cascade = Full(tiny_profile, dying, escalating)
    async with serve_grpc(cascade) as address, AsyncClient(address) as client:
        assert (await client.classify(photograph)).stage == "high"
    assert cascade.full == 0
