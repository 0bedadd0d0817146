import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc.aio import Channel
from grpc_health.v1 import health_pb2, health_pb2_grpc

from overtone.frequency import Encoded, Profile, part_of, unpack_part
from overtone.gpu_server.errors import StartError
from overtone.gpu_server.serve import Running
from overtone.gpu_server.service import Phase
from overtone.gpu_server.upload import MAX_CHUNK
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs
from tests.gpu_server.conftest import SHARED_LOOP, connected, value
from tests.serving import Serve
from tests.waiting import LATER, until

pytestmark = SHARED_LOOP


def stub_of(channel: Channel) -> Any:
    return stubs.CascadeStub(channel)  # type: ignore[no-untyped-call]


class Device:
    """The other end of a session, message by message."""

    welcome: pb.Welcome

    def __init__(self, call: Any) -> None:
        self.call = call

    async def say(self, **message: Any) -> None:
        await self.call.write(pb.Upstream(**message))

    async def hear(self) -> Any:
        """The next message's content; None at the end of the stream."""
        async with asyncio.timeout(LATER):
            message = await self.call.read()
        if message is grpc.aio.EOF:
            return None
        return getattr(message, message.WhichOneof("message"))

    async def image(self, number: int, *layers: bytes, promised: int = 0) -> None:
        await self.say(image=pb.Image(id=number, layers=layers, promised=promised))

    async def further(self, number: int, payload: bytes, layer: int = 2, size: int = 200) -> None:
        for offset in range(0, len(payload), size):
            data = payload[offset : offset + size]
            last = offset + size >= len(payload)
            chunk = pb.Chunk(id=number, layer=layer, offset=offset, data=data, last=last)
            await self.say(chunk=chunk)

    async def code(self) -> grpc.StatusCode:
        async with asyncio.timeout(LATER):
            return await self.call.code()


@asynccontextmanager
async def session(
    channel: Channel, point: str = "always", metadata: Any = None, refused: bool = False, **hello: Any
) -> AsyncIterator[Device]:
    """A session that has been welcomed, unless it is to be refused."""
    call = stub_of(channel).Session(metadata=metadata)
    device = Device(call)
    options = hello.pop("options", pb.Options(operating_point=point))
    # A server may refuse a stream before it reads its first message.
    with suppress(grpc.aio.AioRpcError) if refused else nullcontext():
        await device.say(hello=pb.Hello(options=options, **hello))
    if not refused:
        device.welcome = await device.hear()
        assert isinstance(device.welcome, pb.Welcome)
    try:
        yield device
    finally:
        call.cancel()


@pytest_asyncio.fixture(loop_scope="session")
async def device(channel: Channel) -> AsyncIterator[Device]:
    """A device with a session in which low never suffices."""
    async with session(channel, "never") as opened:
        yield opened


@asynccontextmanager
async def own_session(serve: Serve, **settings: Any) -> AsyncIterator[tuple[Running, Device]]:
    """The same, with a server of its own that has these settings."""
    async with serve(**settings) as server, connected(server) as channel, session(channel, "never") as opened:
        yield server, opened


async def test_session_answers_from_low_and_ends_cleanly(
    channel: Channel, encoded: Encoded, tiny_profile: Profile
) -> None:
    async with session(channel, profile_id=tiny_profile.id) as device:
        welcome = device.welcome
        assert (welcome.profile_id, welcome.model, welcome.credits) == (tiny_profile.id, "tiny", 16)
        for number in range(5):
            await device.image(number, encoded.layers[0])
        await device.say(end=pb.End())
        answers = [await device.hear() for _ in range(5)]
        assert {a.id for a in answers} == set(range(5))
        assert {a.stage for a in answers} == {pb.STAGE_LOW}
        assert all(a.confident and len(a.top) == 1 for a in answers)
        assert await device.hear() is None
        assert await device.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("ended", [False, True])
async def test_high_is_asked_for_and_answers_also_after_end(
    device: Device, encoded: Encoded, ended: bool
) -> None:
    await device.image(7, encoded.layers[0])
    if ended:
        await device.say(end=pb.End())
    need = await device.hear()
    assert isinstance(need, pb.NeedMore)
    assert (need.id, need.layers, need.again) == (7, 2, False)
    assert 0 < need.so_far.probability <= 1
    await device.further(7, encoded.layers[1])
    answer = await device.hear()
    assert (answer.id, answer.stage, answer.layers) == (7, pb.STAGE_HIGH, 2)
    if not ended:
        await device.say(end=pb.End())
    assert await device.hear() is None


@pytest.mark.parametrize(("point", "stage"), [("always", pb.STAGE_LOW), ("never", pb.STAGE_HIGH)])
async def test_at_once_is_answered_once_and_never_asked(
    channel: Channel, encoded: Encoded, point: str, stage: int
) -> None:
    async with session(channel, point) as device:
        for number in range(3):
            await device.image(number, encoded.layers[0], promised=2)
            await device.further(number, encoded.layers[1])
        await device.say(end=pb.End())
        answers = [await device.hear() for _ in range(3)]
        assert {(a.id, a.stage) for a in answers} == {(n, stage) for n in range(3)}
        assert await device.hear() is None


async def test_half_closed_stream_is_answered_as_far_as_it_goes(device: Device, encoded: Encoded) -> None:
    await device.image(1, encoded.layers[0])
    await device.image(2, encoded.layers[0], promised=2)
    await device.further(2, encoded.layers[1])
    await device.call.done_writing()
    heard = [await device.hear() for _ in range(3)]
    assert sorted(type(m).__name__ for m in heard) == ["Answer", "Error", "NeedMore"]
    assert await device.hear() is None
    assert await device.code() is grpc.StatusCode.OK


def error_code(message: Any) -> int:
    assert isinstance(message, pb.Error), message
    return int(message.code)


INVALID, EXPIRED, FULL, WRONG = 3, 4, 8, 9


async def test_bad_payloads_fail_their_image_and_not_the_stream(
    channel: Channel, encoded: Encoded, hostile: list[tuple[bytes, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    async with session(channel) as device:
        for number, low in enumerate([*(low for low, _ in hostile), encoded.layers[0] + b"x" * 300_000]):
            await device.image(number, low)
            message = await device.hear()
            assert message.id == number
            assert error_code(message) in (INVALID, WRONG)
            assert message.message
        await device.image(99, encoded.layers[0])
        assert (await device.hear()).id == 99
    assert not [record for record in caplog.records if record.name.startswith("overtone")]


async def test_bad_high_fails_its_image_and_not_the_stream(device: Device, encoded: Encoded) -> None:
    damaged = bytearray(encoded.layers[1])
    damaged[-1] ^= 0xFF
    for number, payload in enumerate((bytes(damaged), encoded.layers[0], b"nothing of the kind")):
        await device.image(number, encoded.layers[0], promised=2)
        await device.further(number, payload)
        assert error_code(await device.hear()) == INVALID
    await device.image(9, encoded.layers[0], promised=2)
    await device.further(9, encoded.layers[1])
    assert (await device.hear()).stage == pb.STAGE_HIGH


@pytest.mark.parametrize(
    "chunk",
    [
        pb.Chunk(id=1, layer=2, offset=5, data=b"x"),
        pb.Chunk(id=1, layer=3, offset=0, data=b"x"),
        pb.Chunk(id=1, layer=2, offset=0, data=b"x" * (MAX_CHUNK + 1)),
    ],
)
async def test_chunks_out_of_order_or_too_large_are_refused(
    device: Device, encoded: Encoded, chunk: pb.Chunk
) -> None:
    await device.image(1, encoded.layers[0], promised=2)
    await device.say(chunk=chunk)
    assert error_code(await device.hear()) == INVALID
    await device.say(chunk=pb.Chunk(id=1, layer=2, offset=0, data=b"late", last=True))
    await device.say(end=pb.End())
    assert await device.hear() is None


async def test_endless_high_is_refused(serve: Serve, encoded: Encoded) -> None:
    async with own_session(serve, max_payload_bytes=40_000) as (server, device):
        await device.image(1, encoded.layers[0], promised=2)
        for offset in range(0, 5 * MAX_CHUNK, MAX_CHUNK):
            data = b"x" * MAX_CHUNK
            await device.say(chunk=pb.Chunk(id=1, layer=2, offset=offset, data=data))
        assert error_code(await device.hear()) == INVALID
        assert server.service.store.bytes == 0


async def test_a_layer_of_an_image_never_seen_asks_for_all(device: Device, encoded: Encoded) -> None:
    await device.further(3, encoded.layers[1])
    lost = await device.hear()
    assert (lost.id, lost.layers, lost.again) == (3, 2, True)


async def test_high_that_does_not_come_in_time(serve: Serve, encoded: Encoded) -> None:
    async with own_session(serve, state_ttl=0.05) as (server, device):
        await device.image(1, encoded.layers[0])
        assert isinstance(await device.hear(), pb.NeedMore)
        assert error_code(await device.hear()) == EXPIRED
        assert server.service.store.bytes == 0


async def test_deadline_of_the_device_ends_the_wait(channel: Channel, encoded: Encoded) -> None:
    options = pb.Options(operating_point="never", deadline_ms=400)
    async with session(channel, options=options) as device:
        await device.image(1, encoded.layers[0], promised=2)
        assert error_code(await device.hear()) == EXPIRED


async def test_cancelled_image_is_forgotten(server: Running, device: Device, encoded: Encoded) -> None:
    await device.image(1, encoded.layers[0])
    await device.hear()
    await device.say(cancel=pb.Cancel(id=1))
    await device.image(2, encoded.layers[0])  # cancelled before its first step
    await device.say(cancel=pb.Cancel(id=2))
    await device.say(cancel=pb.Cancel(id=77))
    await device.further(1, encoded.layers[1])  # was on its way
    await device.say(end=pb.End())
    heard = await device.hear()
    assert heard is None or (isinstance(heard, pb.NeedMore) and heard.id == 2)
    assert await device.code() is grpc.StatusCode.OK
    assert server.service.store.bytes == 0


async def test_stream_cancelled_by_the_device_leaves_nothing(
    server: Running, channel: Channel, encoded: Encoded
) -> None:
    await until(lambda: sessions(server) == 0)  # of the tests before
    async with session(channel, "never") as device:
        await device.image(1, encoded.layers[0])
        await device.image(2, encoded.layers[0], promised=2)
        await device.say(chunk=pb.Chunk(id=2, layer=2, data=encoded.layers[1][:100]))
        await device.hear()
        assert sessions(server) == 1
    await until(lambda: sessions(server) == 0)
    await until(lambda: server.service.store.bytes == 0)
    async with session(channel):
        pass


def sessions(server: Running) -> float:
    return value(server.service.metrics, "overtone_sessions")


async def test_more_than_the_credits_is_refused(serve: Serve, encoded: Encoded) -> None:
    async with own_session(serve, credits=2) as (_, device):
        assert device.welcome.credits == 2
        for number in range(3):
            await device.image(number, encoded.layers[0])
        heard = [await device.hear() for _ in range(3)]
        refused = next(m for m in heard if isinstance(m, pb.Error))
        assert (refused.id, refused.code) == (2, FULL)
        assert refused.retry_after_ms
        await device.image(1, encoded.layers[0])
        assert error_code(await device.hear()) == INVALID  # in flight already


async def test_refused_streams(channel: Channel, encoded: Encoded) -> None:
    async with session(channel, profile_id=b"abcd", refused=True) as device:
        assert await device.code() is grpc.StatusCode.FAILED_PRECONDITION
    async with session(channel, "no such point", refused=True) as device:
        assert await device.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "default" in await device.call.details()
    async with session(channel) as device:
        await device.say(hello=pb.Hello())
        assert await device.code() is grpc.StatusCode.INVALID_ARGUMENT
    call = stub_of(channel).Session()
    await call.write(pb.Upstream(image=pb.Image(id=1, layers=encoded.layers[:1])))
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_hello_that_never_comes_ends_the_stream(serve: Serve) -> None:
    async with serve(deadline=0.05) as server, connected(server) as channel:
        call = stub_of(channel).Session()
        async with asyncio.timeout(LATER):
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_message_above_the_limit_breaks_the_stream_only(
    server: Running, channel: Channel, encoded: Encoded
) -> None:
    async with session(channel) as device:
        with suppress(grpc.aio.AioRpcError):  # refused before all of it is sent
            await device.image(1, b"x" * (3 << 20))
        assert await device.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    async with session(channel) as device:
        await device.image(1, encoded.layers[0])
        assert (await device.hear()).id == 1
    await until(lambda: sessions(server) == 0)


async def test_payloads_may_be_as_large_as_the_settings_say(serve: Serve) -> None:
    async with serve(max_payload_bytes=2 << 20) as server, connected(server) as channel:
        both = pb.ClassifyRequest(layers=[bytes(2 << 20)] * 2)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub_of(channel).Classify(both)
        # Read and found to be no payload, rather than refused for its size.
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_too_many_sessions(serve: Serve) -> None:
    async with (
        serve(max_sessions=1) as server,
        connected(server) as channel,
        session(channel),
        session(channel, refused=True) as second,
    ):
        assert await second.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_token(serve: Serve, encoded: Encoded) -> None:
    async with serve(tokens=("right", "also")) as server, connected(server) as channel:
        stub = stub_of(channel)
        for metadata in (None, (("authorization", "Bearer wrong"),), (("authorization", "right"),)):
            # Refused before it says a word; a hello might race the refusal and hide its reason.
            assert await stub.Session(metadata=metadata).code() is grpc.StatusCode.UNAUTHENTICATED
            for call in (stub.DescribeModel, stub.Classify):
                request = pb.DescribeModelRequest() if call is stub.DescribeModel else pb.ClassifyRequest()
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await call(request, metadata=metadata)
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        async with session(channel, metadata=(("authorization", "Bearer also"),)):
            pass
        assert await health(channel) == health_pb2.HealthCheckResponse.SERVING


async def health(channel: Channel) -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service="overtone.v2.Cascade"))).status)


async def test_health_can_be_watched(serve: Serve) -> None:
    replies = health_pb2.HealthCheckResponse
    async with serve() as server, connected(server) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "overtone.v2.Cascade"):
            watching = stub.Watch(health_pb2.HealthCheckRequest(service=service))
            seen = [(await watching.read()).status]
            for phase in (Phase.LEAVING, Phase.READY, Phase.DRAINING):
                server.service.phase = phase
                seen.append((await watching.read()).status)
            assert seen == [replies.SERVING, replies.NOT_SERVING, replies.SERVING, replies.NOT_SERVING]
            server.service.phase = Phase.READY
        unknown = stub.Watch(health_pb2.HealthCheckRequest(service="none"))
        assert (await unknown.read()).status == replies.SERVICE_UNKNOWN


@pytest.mark.parametrize(("point", "stage"), [("always", pb.STAGE_LOW), ("never", pb.STAGE_HIGH)])
async def test_classify(channel: Channel, encoded: Encoded, point: str, stage: int) -> None:
    options = pb.Options(operating_point=point, top=4)
    request = pb.ClassifyRequest(layers=encoded.layers, options=options)
    answer = await stub_of(channel).Classify(request)
    assert answer.stage == stage
    assert len(answer.top) == 4
    assert answer.compute_us > 0


async def test_classify_refuses_bad_payloads(channel: Channel, hostile: list[tuple[bytes, bytes]]) -> None:
    for low, high in [*hostile, (bytes(300 << 10), b"")]:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub_of(channel).Classify(pb.ClassifyRequest(layers=[low, high]))
        assert refused.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)


@pytest.mark.parametrize(("count", "stage"), [(1, pb.STAGE_LOW), (2, pb.STAGE_LOW), (3, pb.STAGE_HIGH)])
async def test_classify_answers_from_whatever_layers_are_sent(
    three_server: Running, three: Encoded, count: int, stage: int
) -> None:
    async with connected(three_server) as channel:
        answer = await stub_of(channel).Classify(pb.ClassifyRequest(layers=three.layers[:count]))
    assert (answer.stage, answer.layers, answer.confident) == (stage, count, False)


async def test_a_session_goes_from_layer_to_layer(three_server: Running, three: Encoded) -> None:
    async with connected(three_server) as channel, session(channel, "third") as device:
        await device.image(5, three.layers[0])
        for layer in (2, 3):
            need = await device.hear()
            assert (need.id, need.layers, need.again) == (5, layer, False)
            await device.further(5, three.layers[layer - 1], layer)
        answer = await device.hear()
        assert (answer.id, answer.layers, answer.stage) == (5, 3, pb.STAGE_HIGH)


async def test_a_device_may_leave_after_the_second_layer(three_server: Running, three: Encoded) -> None:
    async with connected(three_server) as channel, session(channel, "third") as device:
        await device.image(1, three.layers[0])
        assert (await device.hear()).layers == 2
        await device.further(1, three.layers[1])
        assert (await device.hear()).layers == 3
        await device.say(chunk=pb.Chunk(id=1, layer=3, data=three.layers[2][:9]))
    await until(lambda: three_server.service.store.bytes == 0)


@pytest.mark.parametrize("method", ["Session", "Classify", "DescribeModel", "Anything"])
async def test_clients_of_the_former_protocol_are_told_plainly(channel: Channel, method: str) -> None:
    path = f"/overtone.v1.Cascade/{method}"
    if method == "Session":
        call = channel.stream_stream(path)()
        # Refused before it says a word; a message might race the refusal and hide its reason.
        code, details = await call.code(), await call.details()
    else:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(path)(b"")
        code, details = refused.value.code(), refused.value.details() or ""
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "overtone.v2" in details
    assert "update the client" in details


async def test_other_services_are_unknown(channel: Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await channel.unary_unary("/overtone.v1.CascadeX/Classify")(b"")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_describe_model(channel: Channel, tiny_profile: Profile) -> None:
    model = await stub_of(channel).DescribeModel(pb.DescribeModelRequest())
    assert model.name == "tiny"
    assert Profile.unpack(model.profile) == tiny_profile
    assert model.profile_id == tiny_profile.id
    assert json.loads(model.card)["operating_point"] == "default"
    assert "profile" not in json.loads(model.card)
    assert json.loads(model.card)["certified"]["default"] == []


async def test_describe_a_part_or_the_labels(channel: Channel, tiny_profile: Profile) -> None:
    describe = stub_of(channel).DescribeModel
    part = await describe(pb.DescribeModelRequest(part=pb.Part(quality=1, layers=1)))
    first = unpack_part(part.part)
    assert first == part_of(tiny_profile, 1, 1)
    assert (part.profile_id, part.profile, part.card) == (tiny_profile.id, b"", "")
    further = await describe(pb.DescribeModelRequest(part=pb.Part(quality=1, after=1)))
    assert unpack_part(further.part, first) == part_of(tiny_profile, 1)
    named = await describe(pb.DescribeModelRequest(labels=True))
    assert json.loads(zlib.decompress(named.labels))["labels"] == list(tiny_profile.labels)
    for bad in (pb.Part(quality=9), pb.Part(layers=3), pb.Part(after=2), pb.Part(operating_point="none")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await describe(pb.DescribeModelRequest(part=bad))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_classes_are_named_once_in_a_session(
    channel: Channel, encoded: Encoded, tiny_profile: Profile
) -> None:
    for wanted in (True, False):
        options = pb.Options(operating_point="always", top=3, labels=wanted)
        call = stub_of(channel).Session()
        await call.write(pb.Upstream(hello=pb.Hello(options=options)))
        await call.read()
        tops = []
        for number in (1, 2):
            await call.write(pb.Upstream(image=pb.Image(id=number, layers=encoded.layers[:1])))
            tops.append((await call.read()).answer.top)
        call.cancel()
        named = [tiny_profile.labels[score.index] if wanted else "" for score in tops[0]]
        assert [score.label for score in tops[0]] == named
        assert [score.label for score in tops[1]] == [""] * 3
        request = pb.ClassifyRequest(layers=encoded.layers[:1], options=options)
        assert [s.label for s in (await stub_of(channel).Classify(request)).top] == named


async def test_go_away_when_stopping_lets_images_finish(serve: Serve, encoded: Encoded) -> None:
    stopped = asyncio.Event()
    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()

    async def whole_life() -> None:
        async with serve(linger=LATER) as server:
            ready.set_result(server)
            await stopped.wait()

    life = asyncio.create_task(whole_life())
    async with connected(await ready) as channel, session(channel, "never") as device:
        await device.image(1, encoded.layers[0])
        assert isinstance(await device.hear(), pb.NeedMore)
        stopped.set()
        assert isinstance(await device.hear(), pb.GoAway)
        await device.image(2, encoded.layers[0])
        refused = await device.hear()
        assert (refused.id, refused.code) == (2, grpc.StatusCode.UNAVAILABLE.value[0])
        async with session(channel, refused=True) as late:
            assert await late.code() is grpc.StatusCode.UNAVAILABLE
        await device.further(1, encoded.layers[1])
        assert (await device.hear()).stage == pb.STAGE_HIGH
        await device.say(end=pb.End())
        assert await device.hear() is None
        async with asyncio.timeout(LATER):
            await life


async def test_old_session_is_sent_away(serve: Serve) -> None:
    async with own_session(serve, session_age=0.05) as (_, device):
        assert isinstance(await device.hear(), pb.GoAway)
        assert await device.hear() is None
        assert await device.code() is grpc.StatusCode.OK


async def test_an_idle_device_may_ping_as_often_as_the_settings_say(serve: Serve) -> None:
    """By hand, because gRPC's own clients ping once a second at most."""
    settings, ping, goaway = 4, 6, 7
    async with serve(min_ping_interval=0.03) as server:
        reader, writer = await asyncio.open_connection(server.host, server.grpc_port)

        async def heard() -> int:
            """Which of the two comes next; of all frames."""
            while True:
                head = await reader.readexactly(9)
                await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] in (ping, goaway):
                    return head[3]

        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, settings, 0, 0, 0, 0, 0)))
        try:
            async with asyncio.timeout(LATER):
                for _ in range(6):
                    await asyncio.sleep(0.05)
                    writer.write(bytes((0, 0, 8, ping, 0, 0, 0, 0, 0)) + b"?" * 8)
                    assert await heard() == ping
        finally:
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize("wanted", [True, False])
async def test_reflection_can_be_switched(serve: Serve, wanted: bool) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    async with serve(reflection=wanted) as server, connected(server) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        if wanted:
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            listed = (await call.read()).list_services_response.service
            assert "overtone.v2.Cascade" in {service.name for service in listed}
            call.cancel()
        else:
            assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_second_server_cannot_share_the_port(server: Running, serve: Serve) -> None:
    with pytest.raises(StartError, match=f":{server.grpc_port} for gRPC: Address already in use$"):
        async with serve(grpc_port=server.grpc_port):
            pass
    with pytest.raises(StartError, match=r"for HTTP: Address already in use$"):
        async with serve(http_port=server.http_port):
            pass
