"""Everything that a client sends is counted when it comes and when it ends; here the client counts too."""

import asyncio
from collections import Counter

import grpc
import httpx
import pytest

from overtone.frequency import Encoded
from overtone.gpu_server.arrival import Arrival, Kind
from overtone.gpu_server.serve import Running
from overtone.gpu_server.telemetry.metrics import Metrics
from overtone.protos import overtone_pb2 as pb
from tests.gpu_server.conftest import SHARED_LOOP, client_of, connected, table
from tests.gpu_server.test_grpc_server import error_code, own_session, session, stub_of
from tests.gpu_server.test_rest_api import NEVER, first
from tests.serving import Serve
from tests.waiting import LATER, until

pytestmark = SHARED_LOOP

WRONG = (("authorization", "Bearer wrong"),)


def ended(server: Running, kind: str) -> Counter[tuple[str, ...]]:
    """How many ended how, by outcome and code."""
    found = table(server.service.metrics, "overtone_ended_total", "kind", "outcome", "code")
    return Counter({key[1:]: count for key, count in found.items() if key[0] == kind})


async def test_every_image_of_a_session(serve: Serve, encoded: Encoded) -> None:
    low = encoded.layers[0]
    async with own_session(serve, credits=2) as (server, device):
        await device.image(1, b"no payload")
        assert error_code(await device.hear()) == 3
        for number in (1, 2, 2, 3):  # one in flight already, and one more than the credits
            await device.image(number, low)
        heard = [await device.hear() for _ in range(4)]
        assert sorted(type(each).__name__ for each in heard) == ["Error", "Error", "NeedMore", "NeedMore"]
        await device.say(cancel=pb.Cancel(id=2))
        await device.further(1, encoded.layers[1])
        assert isinstance(await device.hear(), pb.Answer)
        await device.image(4, low)  # cancelled before its first step, or on a busy machine after it
        await device.say(cancel=pb.Cancel(id=4))
        await device.image(5, low, promised=2)  # its further layers never come
        await device.say(end=pb.End())
        await device.image(6, low)
        while isinstance(message := await device.hear(), pb.NeedMore):
            assert message.id == 4
        assert error_code(message) == 14
        device.call.cancel()
        await until(lambda: sum(ended(server, "stream").values()))
        assert ended(server, "image") == {
            ("answered", "OK"): 1,
            ("departed", "CANCELLED"): 3,
            ("refused", "INVALID_ARGUMENT"): 2,
            ("refused", "RESOURCE_EXHAUSTED"): 1,
            ("refused", "UNAVAILABLE"): 1,
        }


async def test_every_stream(serve: Serve) -> None:
    async with serve(tokens="right", max_sessions=1) as server, connected(server) as channel:
        right = (("authorization", "Bearer right"),)
        assert await stub_of(channel).Session(metadata=WRONG).code() is grpc.StatusCode.UNAUTHENTICATED
        async with session(channel, "no such point", metadata=right, refused=True) as device:
            assert await device.code() is grpc.StatusCode.INVALID_ARGUMENT
        async with session(channel, metadata=right) as device:
            async with session(channel, metadata=right, refused=True) as second:
                assert await second.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            await device.say(end=pb.End())
            assert await device.hear() is None
        async with session(channel, metadata=right) as device:
            await device.call.done_writing()  # without `End`
            assert await device.hear() is None
        async with session(channel, metadata=right):
            pass  # cancelled
        former = channel.stream_stream("/overtone.v1.Cascade/Session")()
        assert await former.code() is grpc.StatusCode.FAILED_PRECONDITION
        await until(lambda: sum(ended(server, "stream").values()) == 7)
        assert Counter(outcome for outcome, _ in ended(server, "stream").elements()) == {
            "refused": 4,
            "answered": 1,
            "departed": 2,
        }


async def test_every_call(serve: Serve, encoded: Encoded) -> None:
    async with serve() as server, connected(server) as channel, client_of(server) as http:
        stub, garbage = stub_of(channel), channel.unary_unary("/overtone.v2.Cascade/Classify")
        await stub.Classify(pb.ClassifyRequest(layers=encoded.layers))
        for refused in (stub.Classify(pb.ClassifyRequest()), garbage(b"\xff\xff\xff")):
            with pytest.raises(grpc.aio.AioRpcError):
                await refused
        await stub.DescribeModel(pb.DescribeModelRequest())
        sent = [
            http.post("/v1/images", params=NEVER, content=first(encoded)),
            http.post("/v1/images", params={"top": "many"}, content=first(encoded)),
            http.post("/v1/images", content=b"no payload"),
            http.post("/v1/images/lost/layers", content=b"x"),
            http.post("/v1/nothing", content=b"x"),
            http.get("/v1/images"),
        ]
        statuses = [(await each).status_code for each in sent]
        assert statuses == [202, 400, 400, 410, 404, 405]
        await http.get("/v1/model")
        await http.get("/livez")
        assert sum(ended(server, "call").values()) == 3 + len(sent)
        assert sum(ended(server, "description").values()) == 2


async def test_an_upload_that_is_given_up(serve: Serve, encoded: Encoded) -> None:
    body = first(encoded)
    head = f"POST /v1/images HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body) + 1}\r\n\r\n".encode()
    async with serve() as server:
        _, writer = await asyncio.open_connection(server.host, server.http_port)
        writer.write(head + body)
        in_flight = "overtone_in_flight", "kind"
        await until(lambda: table(server.service.metrics, *in_flight) == {("call",): 1})
        writer.close()
        async with asyncio.timeout(LATER):
            await writer.wait_closed()
        await until(lambda: ended(server, "call") == {("departed", "CANCELLED"): 1})


async def test_an_error_of_the_server(
    serve: Serve, encoded: Encoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overtone.gpu_server.image_input.decode", lambda *_: 1 / 0)
    async with serve() as server, client_of(server) as http:
        reply: httpx.Response = await http.post("/v1/images", content=first(encoded))
        assert reply.status_code == 500
        assert ended(server, "call") == {("failed", "INTERNAL"): 1}


async def test_only_the_first_end_counts() -> None:
    metrics = Metrics()
    arrival = Arrival(metrics, "grpc", Kind.IMAGE)
    arrival.end("OK")
    arrival.end("CANCELLED")
    assert table(metrics, "overtone_ended_total", "outcome") == {("answered",): 1}
