"""A server that is told to stop finishes what it has begun and exits with 0."""

import asyncio
import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from overtone.frequency import Encoded
from overtone.link import Link
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs
from tests.end_to_end.conftest import LATER, Connect, Server, Start

pytestmark = pytest.mark.xdist_group("end_to_end")


@contextmanager
def _session(server: Server, upstream: "queue.Queue[pb.Upstream | None]") -> Iterator[Any]:
    """A session that has an image in flight, of which more has been asked for."""
    with grpc.insecure_channel(server.grpc) as channel:
        stub = stubs.CascadeStub(channel)  # type: ignore[no-untyped-call]
        call = stub.Session(iter(upstream.get, None), timeout=LATER)
        assert [next(call).WhichOneof("message") for _ in range(2)] == ["welcome", "need_more"]
        yield call


def _finish(server: Server, encoded: Encoded) -> None:
    """Stop the server while an image is in flight; it has to be answered."""
    upstream: queue.Queue[pb.Upstream | None] = queue.Queue()
    upstream.put(pb.Upstream(hello=pb.Hello(options=pb.Options(operating_point="never"))))
    upstream.put(pb.Upstream(image=pb.Image(id=1, layers=encoded.layers[:1])))
    with _session(server, upstream) as call:
        server.process.send_signal(signal.SIGTERM)
        assert next(call).HasField("go_away")
        upstream.put(pb.Upstream(chunk=pb.Chunk(id=1, layer=2, data=encoded.layers[1], last=True)))
        assert next(call).answer.stage == pb.STAGE_HIGH
        upstream.put(None)
        assert list(call) == []
    assert server.process.wait(LATER) == 0
    assert server.errors.read_text() == ""


async def test_what_is_in_flight_is_answered_and_an_idle_device_does_not_hold_the_server(
    start: Start, connect: Connect, image: Path, encoded: Encoded
) -> None:
    server = await asyncio.to_thread(start)
    async with Link(server.grpc) as link, connect(link, "grpc") as device:
        assert "error" not in await device.classify(image)
        await asyncio.to_thread(_finish, server, encoded)
