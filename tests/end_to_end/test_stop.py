"""Asked to stop, a server finishes what it has begun and exits with 0."""

import asyncio
import queue
import signal
from pathlib import Path

import grpc

from overtone.frequency import Encoded
from overtone.link import Link
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs
from tests.end_to_end.conftest import LATER, Connect, Start


def test_what_is_in_flight_is_answered(start: Start, encoded: Encoded) -> None:
    server = start()
    upstream: queue.Queue[pb.Upstream | None] = queue.Queue()
    with grpc.insecure_channel(server.grpc) as channel:
        stub = stubs.CascadeStub(channel)  # type: ignore[no-untyped-call]
        call = stub.Session(iter(upstream.get, None), timeout=LATER)
        upstream.put(pb.Upstream(hello=pb.Hello(options=pb.Options(operating_point="never"))))
        upstream.put(pb.Upstream(image=pb.Image(id=1, low=encoded.low)))
        assert [next(call).WhichOneof("message") for _ in range(2)] == ["welcome", "need_high"]
        server.process.send_signal(signal.SIGTERM)
        assert next(call).HasField("go_away")
        upstream.put(pb.Upstream(high=pb.HighChunk(id=1, data=encoded.high, last=True)))
        assert next(call).answer.stage == pb.STAGE_HIGH
        upstream.put(None)
        assert list(call) == []
    assert server.process.wait(LATER) == 0
    assert server.errors.read_text() == ""


async def test_an_idle_device_does_not_hold_it(start: Start, connect: Connect, picture: Path) -> None:
    server = start()
    async with Link(server.grpc) as link, connect(link, "grpc") as device:
        assert "error" not in await device.classify(picture)
        assert await asyncio.to_thread(server.stop, signal.SIGINT) == 0
