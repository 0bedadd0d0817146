"""The client against a gRPC server that refuses, fails, or is no server of ours."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.edge_client import (
    AsyncClient,
    BadPayload,
    DeadlineExceeded,
    ProtocolError,
    Refused,
    Unauthenticated,
    Unavailable,
)
from overtone.edge_client.retry import MAX_ATTEMPTS
from overtone.frequency import Profile
from overtone.protos import overtone_pb2 as pb
from tests.edge_client.fakes import FakeCascade, Stream, confident, escalating, serve_grpc

Photograph = NDArray[np.uint8]


async def dying(stream: Stream, image: pb.Image) -> None:
    """Breaks off at once."""
    stream.die()


class TestErrors:
    async def refused(
        self, profile: Profile, photograph: Photograph, times: int, timeout: float
    ) -> FakeCascade:
        left = times

        async def busy(stream: Stream, image: pb.Image) -> None:
            nonlocal left
            left -= 1
            if left >= 0:
                error = pb.Error(id=image.id, code=8, message="queue full", retry_after_ms=50)
                await stream.say(error=error)
            else:
                await stream.answer(image.id)

        cascade = FakeCascade(profile, busy)
        async with serve_grpc(cascade) as address, AsyncClient(address) as client:
            await client.classify(photograph, timeout=timeout)
        return cascade

    async def test_a_busy_server_is_asked_again_when_it_likes(
        self, photograph: Photograph, tiny_profile: Profile
    ) -> None:
        cascade = await self.refused(tiny_profile, photograph, 2, 5.0)
        assert len(cascade.images) == 3

    async def test_but_only_a_few_times(self, photograph: Photograph, tiny_profile: Profile) -> None:
        asked: list[int] = []

        async def busy(stream: Stream, image: pb.Image) -> None:
            asked.append(image.id)
            await stream.say(error=pb.Error(id=image.id, code=8, message="queue full", retry_after_ms=50))

        async with serve_grpc(FakeCascade(tiny_profile, busy)) as address, AsyncClient(address) as client:
            with pytest.raises(Refused, match="queue full") as caught:
                await client.classify(photograph)
        assert caught.value.retry_after == pytest.approx(0.05)
        assert len(asked) == MAX_ATTEMPTS

    async def test_nor_beyond_the_deadline(self, photograph: Photograph, tiny_profile: Profile) -> None:
        with pytest.raises((Refused, DeadlineExceeded)):
            await self.refused(tiny_profile, photograph, 1000, 0.04)

    async def test_a_bad_image_fails_alone(self, photograph: Photograph, tiny_profile: Profile) -> None:
        async def picky(stream: Stream, image: pb.Image) -> None:
            if image.id == 1:
                await stream.say(error=pb.Error(id=image.id, code=3, message="damaged"))
            else:
                await stream.answer(image.id)

        cascade = FakeCascade(tiny_profile, picky)
        async with serve_grpc(cascade) as address, AsyncClient(address) as client:
            with pytest.raises(BadPayload, match="damaged"):
                await client.classify(photograph)
            assert (await client.classify(photograph)).label == "class 3"
        assert len(cascade.hellos) == 1

    async def test_answers_that_make_no_sense(self, photograph: Photograph, tiny_profile: Profile) -> None:
        async def unknown_class(stream: Stream, image: pb.Image) -> None:
            await stream.answer(image.id, index=10)

        async def empty(stream: Stream, image: pb.Image) -> None:
            await stream.say(answer=pb.Answer(id=image.id, stage=pb.STAGE_LOW))

        for nonsense in (unknown_class, empty):
            cascade = FakeCascade(tiny_profile, nonsense)
            async with serve_grpc(cascade) as address, AsyncClient(address) as client:
                with pytest.raises(ProtocolError):
                    await client.classify(photograph)

    async def test_messages_about_unknown_images_are_ignored(
        self, photograph: Photograph, tiny_profile: Profile
    ) -> None:
        async def confused(stream: Stream, image: pb.Image) -> None:
            await stream.answer(4711)
            await stream.need_high(4711)
            await stream.say()
            await stream.answer(image.id)

        cascade = FakeCascade(tiny_profile, confused)
        async with serve_grpc(cascade) as address, AsyncClient(address) as client:
            assert (await client.classify(photograph)).label == "class 3"


async def test_bytes_that_are_not_a_message(photograph: Photograph, tiny_profile: Profile) -> None:
    async def babble(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
        await context.write(b"\xff\xff\xff\xff not a message")

    handler = grpc.stream_stream_rpc_method_handler(babble)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("overtone.v1.Cascade", {"Session": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with pytest.raises(ProtocolError):
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

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    address = "grpc://{}:{}".format(*server.sockets[0].getsockname())
    with pytest.raises((Unavailable, DeadlineExceeded, ProtocolError)):
        async with AsyncClient(address, timeout=1.0):
            pass
    server.close()


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


async def test_no_server_is_reported_soon(tiny_profile: Profile) -> None:
    async with serve_grpc(FakeCascade(tiny_profile, confident)) as address:
        pass
    with pytest.raises(Unavailable, match="overtone serve") as caught:
        async with AsyncClient(address, timeout=60.0):
            pass
    assert str(caught.value).count("check") == 1  # one piece of advice


async def test_a_wrong_token_is_reported_at_once(tiny_profile: Profile) -> None:
    class Guarded(FakeCascade):
        async def admit(self, context: grpc.aio.ServicerContext) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such token")

    async with serve_grpc(Guarded(tiny_profile, confident)) as address:
        with pytest.raises(Unauthenticated, match="token"):
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
