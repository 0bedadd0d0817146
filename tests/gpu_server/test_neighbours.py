"""One bad neighbour: a peer that takes more than its share is refused, and others are served.

The neighbour has an address of its own, which Linux lets any process use.
"""

import asyncio
import sys

import grpc
import pytest

from overtone.benchmarks import http2
from overtone.benchmarks.faults.attacks import SESSION
from overtone.frequency import Encoded, join
from overtone.gpu_server.grpc.server import LEAST_BURST
from overtone.gpu_server.serve import Running
from overtone.protos import overtone_pb2 as pb
from tests.gpu_server.conftest import SHARED_LOOP, client_of, connected, value
from tests.gpu_server.test_grpc_server import session
from tests.serving import Serve
from tests.waiting import LATER, until

pytestmark = [
    SHARED_LOOP,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8"),
]

BAD = "127.0.0.2"
HELLO = http2.message(pb.Upstream(hello=pb.Hello()).SerializeToString())
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def limited(server: Running, limit: str, scope: str = "peer") -> float:
    return value(server.service.metrics, "overtone_limited_total", limit=limit, scope=scope)


async def bad_http(server: Running, data: bytes = b"") -> Connection:
    reader, writer = await asyncio.open_connection(server.host, server.http_port, local_addr=(BAD, 0))
    writer.write(data)
    return reader, writer


async def is_closed(connection: Connection) -> bool:
    async with asyncio.timeout(LATER):
        try:
            return await connection[0].read() is not None
        except ConnectionError:
            return True


def close(connections: list[Connection]) -> None:
    for _, writer in connections:
        writer.close()


def post(body: bytes, size: int) -> bytes:
    head = f"POST /v1/classify HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n"
    return head.encode() + body


async def test_idle_connections_of_one_peer_give_way_to_its_own_alone(serve: Serve) -> None:
    async with serve(max_connections=8) as server, client_of(server) as http:
        assert (await http.get("/livez")).status_code == 200
        first = [await bad_http(server) for _ in range(4)]
        one_more = await bad_http(server)
        assert await is_closed(first[0])  # the one that has been idle longest
        assert limited(server, "connections") == 1
        assert (await http.get("/livez")).status_code == 200
        close([*first, one_more])


async def test_who_is_over_its_share_of_connections_cannot_open_others_for_a_while(serve: Serve) -> None:
    async with serve(max_connections=8) as server, client_of(server) as http:
        connections = [await bad_http(server) for _ in range(5)]
        await until(lambda: limited(server, "connections"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await bad_http(server)
        assert (await http.get("/livez")).status_code == 200
        close(connections)


@pytest.mark.parametrize("before", [b"", b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"])
@pytest.mark.parametrize("begun", [b"", b"GET /livez HTTP/1.1\r\nho"])
async def test_a_header_has_to_end_in_time(serve: Serve, before: bytes, begun: bytes) -> None:
    if before and not begun:
        pytest.skip("between requests a connection may wait longer")
    async with serve(header_timeout=0.05) as server:
        connection = await bad_http(server, before)
        if before:
            assert await connection[0].readuntil(b"ok")
        connection[1].write(begun)
        assert await is_closed(connection)
        close([connection])


async def test_bodies_that_do_not_end_take_no_more_than_a_share(serve: Serve, encoded: Encoded) -> None:
    size = 10_000
    async with serve(body_bytes=4 * size, penalty=0) as server, client_of(server) as http:
        held = [await bad_http(server, post(bytes(size - 1), size)) for _ in range(2)]
        await until(lambda: server.service.body_budget.used == 2 * (size - 1))
        third = await bad_http(server, post(bytes(size - 1), size))
        assert b" 429 " in await third[0].readline()
        assert limited(server, "bodies") == 1
        reply = await http.post("/v1/images", content=join(encoded.layers))
        assert reply.status_code == 200
        close([*held, third])
        await until(lambda: server.service.body_budget.used == 0)


async def test_pictures_of_one_peer_take_no_more_than_a_share(
    serve: Serve, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = 96 * 128
    async with serve(image_pixels=4 * pixels, penalty=0) as server, client_of(server) as http:
        core = server.service.core
        with core._budgets.pixels.holding(2 * pixels, f"peer {BAD}"):
            refused = await bad_http(server, post(jpeg, len(jpeg)))
            assert b" 429 " in await refused[0].readline()
            assert limited(server, "pixels") == 1
            assert (await http.post("/v1/classify", content=jpeg)).status_code == 200
            close([refused])
        assert core._budgets.pixels.used == 0


async def test_idle_sessions_of_one_peer_give_way(serve: Serve, encoded: Encoded) -> None:
    async with serve(max_sessions=8) as server, connected(server) as channel:
        bad = await http2.Connection.open(server.host, server.grpc_port, BAD)
        for _ in range(20):
            bad.write(http2.frame(http2.DATA, 0, bad.begin(SESSION), HELLO))
        await until(lambda: limited(server, "sessions") == 16)
        assert value(server.service.metrics, "overtone_sessions") == 4
        async with session(channel) as device:
            await device.image(1, encoded.layers[0])
            assert (await device.hear()).id == 1
        await bad.close()


async def test_messages_that_do_not_end_cost_the_connection(serve: Serve, encoded: Encoded) -> None:
    async with serve(unfinished_bytes=1 << 20) as server, connected(server) as channel:
        bad = await http2.Connection.open(server.host, server.grpc_port, BAD)
        data = http2.message(bytes((1 << 18) - 1), 1 << 18)
        await asyncio.gather(*(bad.send(bad.begin(SESSION), data) for _ in range(3)))
        async with asyncio.timeout(LATER):
            await bad.closed.wait()
        assert limited(server, "unfinished") == 1
        async with session(channel) as device:
            await device.image(1, encoded.layers[0])
            assert (await device.hear()).id == 1
        await bad.close()


async def test_connections_of_one_peer_above_its_share_are_cut(serve: Serve) -> None:
    async with serve(max_connections=8) as server, connected(server) as channel:
        bad = [await http2.Connection.open(server.host, server.grpc_port, BAD) for _ in range(6)]
        await until(lambda: sum(each.closed.is_set() for each in bad) == 2)
        assert limited(server, "connections") == 2
        async with session(channel):
            pass
        for each in bad:
            await each.close()


async def test_who_begins_streams_and_cancels_them_is_cut_and_cannot_come_back(serve: Serve) -> None:
    async with serve() as server, connected(server) as channel:
        bad = await http2.Connection.open(server.host, server.grpc_port, BAD)
        async with asyncio.timeout(LATER):
            while not bad.closed.is_set():
                bad.write(b"".join(http2.reset(bad.begin(SESSION)) for _ in range(20)))
                await bad.drain()
                await asyncio.sleep(0.001)
        assert limited(server, "streams") >= 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await http2.Connection.open(server.host, server.grpc_port, BAD)
        async with session(channel):
            pass
        await bad.close()


async def test_streams_that_do_nothing_have_a_rate(serve: Serve) -> None:
    async with serve(stream_rate=1e-9, max_sessions=8) as server:
        bad = await http2.Connection.open(server.host, server.grpc_port, BAD)
        begun = [bad.begin(SESSION) for _ in range(LEAST_BURST + 6)]
        await until(lambda: limited(server, "streams") == 6)
        await until(lambda: set(begun[LEAST_BURST:]) <= bad.ended)
        await bad.close()


@pytest.mark.parametrize("method", ["Session", "Classify", "DescribeModel"])
async def test_a_message_that_cannot_be_parsed_is_the_clients_fault(
    server: Running, method: str, caplog: pytest.LogCaptureFixture
) -> None:

    async with connected(server) as channel:
        call = channel.stream_stream(f"/overtone.v2.Cascade/{method}")()
        await call.write(b"\xff\xff\xff")
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "message that is no" in await call.details()
    assert not caplog.records


async def test_a_request_that_does_not_come_ends_its_call(serve: Serve) -> None:

    async with serve(body_timeout=0.05) as server, connected(server) as channel:
        call = channel.stream_stream("/overtone.v2.Cascade/Classify")()
        async with asyncio.timeout(LATER):
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_images_of_one_peer_take_no_more_than_a_share(serve: Serve, encoded: Encoded) -> None:
    async with serve(low_queue=4, high_queue=4, penalty=0) as server, client_of(server) as http:
        body = join(encoded.layers)
        core = server.service.core
        with core._budgets.images.holding(4, f"peer {BAD}"):
            refused = await bad_http(server, post(body, len(body)))
            status = await refused[0].readline()
            assert b" 429 " in status
            assert limited(server, "images") == 1
            assert (await http.post("/v1/images", content=body)).status_code == 200
            close([refused])
