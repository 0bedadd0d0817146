import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from io import BytesIO

import grpc
import httpx
import pytest
from grpc.aio import Channel
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image

from overtone.frequency import Encoded, Profile, fit, join, part_of, unpack_part
from overtone.gpu_server.grpc.server import NOT_SERVING, SERVING
from overtone.gpu_server.networks.torch_network import TorchNetwork
from overtone.gpu_server.rest.api import create_app
from overtone.gpu_server.serve import Running
from overtone.gpu_server.service import Service
from overtone.models import Card
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs
from tests.conftest import Photograph
from tests.gpu_server.conftest import ROOM_FOR_ONE, SHARED_LOOP, MakeSettings, client_of, value
from tests.serving import Serve
from tests.waiting import LATER

pytestmark = SHARED_LOOP

ALWAYS = {"operating_point": "always"}
NEVER = {"operating_point": "never"}


def error(reply: httpx.Response) -> tuple[int, str]:
    body = reply.json()["error"]
    assert body["message"]
    return reply.status_code, body["code"]


def first(encoded: Encoded) -> bytes:
    """A body with the first layer."""
    return join(encoded.layers[:1])


def further(encoded: Encoded) -> bytes:
    """A body with all further layers."""
    return join(encoded.layers[1:])


def in_process(service: Service) -> httpx.AsyncClient:
    """A client of the application, without a server."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(service)), base_url="http://test")


async def test_low_is_answered(http: httpx.AsyncClient, encoded: Encoded) -> None:
    reply = await http.post("/v1/images", params={**ALWAYS, "top": 3}, content=first(encoded))
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert body["stage"] == "low"
    assert body["confident"] is True
    assert len(body["top"]) == 3
    assert body["label"] == body["top"][0]["label"] == f"class {body['index']}"
    assert body["confidence"] == body["top"][0]["probability"]
    assert body["model"] == "tiny"
    assert body["layers"] == 1
    assert set(body["timings"]) == {"queue_ms", "compute_ms"}


async def test_low_then_high(server: Running, http: httpx.AsyncClient, encoded: Encoded) -> None:
    asked = await http.post("/v1/images", params=NEVER, content=first(encoded))
    assert asked.status_code == 202, asked.text
    body = asked.json()
    assert set(body) == {"token", "layers", "layers_known", "so_far", "expires_s"}
    assert (body["layers"], body["layers_known"], body["expires_s"]) == (2, 1, 30)
    assert set(body["so_far"]) == {"label", "index", "confidence"}
    assert asked.headers["location"] == f"/v1/images/{body['token']}/layers"
    reply = await http.post(asked.headers["location"], params=NEVER, content=further(encoded))
    assert reply.status_code == 200, reply.text
    assert reply.json()["stage"] == "high"
    again = await http.post(asked.headers["location"], params=NEVER, content=further(encoded))
    assert error(again) == (410, "ABORTED")
    assert "send all layers again" in again.json()["error"]["message"]
    assert server.service.store.bytes == 0


async def test_damaged_high_may_be_sent_again(http: httpx.AsyncClient, encoded: Encoded) -> None:
    asked = await http.post("/v1/images", params=NEVER, content=first(encoded))
    where = asked.headers["location"]
    assert error(await http.post(where, params=NEVER, content=join([encoded.layers[1][:-1]]))) == (
        400,
        "INVALID_ARGUMENT",
    )
    assert (await http.post(where, params=NEVER, content=further(encoded))).status_code == 200


THIRD = {"operating_point": "third"}


@pytest.fixture
async def three_http(three_server: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(three_server) as client:
        yield client


async def test_layer_after_layer(
    three_server: Running, three_http: httpx.AsyncClient, three: Encoded
) -> None:
    reply = await three_http.post("/v1/images", params=THIRD, content=first(three))
    token = reply.json()["token"]
    for known in (1, 2):
        body = reply.json()
        assert reply.status_code == 202, reply.text
        assert (body["token"], body["layers_known"], body["layers"]) == (token, known, known + 1)
        where = reply.headers["location"]
        assert where == f"/v1/images/{token}/layers"
        reply = await three_http.post(where, params=THIRD, content=join([three.layers[known]]))
    assert reply.status_code == 200, reply.text
    assert (reply.json()["stage"], reply.json()["layers"]) == ("high", 3)
    reply = await three_http.post(where, params=THIRD, content=join([three.layers[2]]))
    assert error(reply) == (410, "ABORTED")
    assert three_server.service.store.bytes == 0


@pytest.mark.parametrize(
    ("point", "layers", "stage"), [("first", 1, "low"), ("second", 2, "low"), ("third", 3, "high")]
)
async def test_all_layers_at_once_are_used_as_far_as_needed(
    three_http: httpx.AsyncClient, three: Encoded, photograph: Photograph, point: str, layers: int, stage: str
) -> None:
    """And a picture is answered as its layers are."""
    file = BytesIO()
    Image.fromarray(photograph).save(file, "PNG")
    params: dict[str, str | int] = {"operating_point": point, "top": 10}
    replies = [
        await three_http.post("/v1/images", params=params, content=join(three.layers)),
        await three_http.post("/v1/classify", params=params, content=join(three.layers)),
        await three_http.post("/v1/classify", params=params, content=file.getvalue()),
    ]
    answers = [reply.json() for reply in replies]
    for answer in answers:
        assert (answer["layers"], answer["stage"], answer["confident"]) == (layers, stage, layers < 3)
        assert answer["confidence"] == pytest.approx(answers[0]["confidence"], abs=1e-5)


async def test_layers_sent_again_are_ignored(three_http: httpx.AsyncClient, three: Encoded) -> None:
    """A device sends them again if the reply was lost on its way."""
    asked = await three_http.post("/v1/images", params=THIRD, content=first(three))
    where = asked.headers["location"]
    second = join([three.layers[1]])
    for _ in range(3):
        reply = await three_http.post(where, params=THIRD, content=second)
        assert (reply.status_code, reply.json()["layers_known"], reply.json()["layers"]) == (202, 2, 3)
    reply = await three_http.post(where, params=THIRD, content=join(three.layers))
    assert (reply.status_code, reply.json()["layers"]) == (200, 3)


async def test_layers_that_do_not_suffice_are_held(three_http: httpx.AsyncClient, three: Encoded) -> None:
    jump = {"operating_point": "jump"}
    asked = await three_http.post("/v1/images", params=jump, content=join(three.layers[:2]))
    assert (asked.json()["layers_known"], asked.json()["layers"]) == (2, 3)
    third = join([three.layers[2]])
    reply = await three_http.post(asked.headers["location"], params=jump, content=third)
    assert (reply.status_code, reply.json()["layers"]) == (200, 3)


async def test_layers_that_are_not_the_next_ones_are_refused(
    three_http: httpx.AsyncClient, three: Encoded, encoded: Encoded
) -> None:
    asked = await three_http.post("/v1/images", params=THIRD, content=first(three))
    where = asked.headers["location"]
    for wrong in ([three.layers[2]], [encoded.layers[1]], [three.layers[1]] * 3, [b"", b""]):
        body = join(wrong)
        assert error(await three_http.post(where, params=THIRD, content=body)) == (400, "INVALID_ARGUMENT")
    assert (await three_http.post(where, params=THIRD, content=further(three))).status_code == 200


async def test_clients_of_the_former_protocol_are_told_plainly(
    http: httpx.AsyncClient, encoded: Encoded
) -> None:
    low, high = (bytes([0x20 | layer]) + payload[1:] for layer, payload in enumerate(encoded.layers))
    kind = {"content-type": "application/vnd.overtone"}
    for path, body in (("images/token/high", high), ("images", low), ("classify", low + high)):
        reply = await http.post(f"/v1/{path}", content=body, headers=kind)
        assert error(reply) == (426, "FAILED_PRECONDITION")
        assert "update the client" in reply.json()["error"]["message"]
        assert reply.headers["upgrade"] == "overtone/2"


async def test_expired_token(serve: Serve, encoded: Encoded) -> None:
    async with serve(state_ttl=0.001) as server, client_of(server) as http:
        asked = await http.post("/v1/images", params=NEVER, content=first(encoded))
        await asyncio.sleep(0.01)
        reply = await http.post(asked.headers["location"], params=NEVER, content=further(encoded))
        assert error(reply) == (410, "ABORTED")


async def test_token_of_another_device(serve: Serve, encoded: Encoded) -> None:
    async with serve(tokens="ann,bob") as server, client_of(server) as http:
        ann, bob = ({"authorization": f"Bearer {name}"} for name in ("ann", "bob"))
        asked = await http.post("/v1/images", params=NEVER, content=first(encoded), headers=ann)
        where = asked.headers["location"]
        assert error(await http.post(where, content=further(encoded), headers=bob)) == (410, "ABORTED")
        assert (await http.post(where, content=further(encoded), headers=ann)).status_code == 200


async def test_authorization(serve: Serve, encoded: Encoded, jpeg: bytes) -> None:
    async with serve(tokens=("secret",)) as server, client_of(server) as http:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret"}):
            for path, body in (
                ("images", first(encoded)),
                ("images/x/layers", further(encoded)),
                ("classify", jpeg),
            ):
                reply = await http.post(f"/v1/{path}", content=body, headers=headers)
                assert error(reply) == (401, "UNAUTHENTICATED")
                assert reply.headers["www-authenticate"] == "Bearer"
            for path in ("model", "profile"):
                assert (await http.get(f"/v1/{path}", headers=headers)).status_code == 401
        for path in ("/livez", "/readyz"):
            assert (await http.get(path)).status_code == 200
        known = {"authorization": "Bearer secret"}
        assert (
            await http.post("/v1/images", params=ALWAYS, content=first(encoded), headers=known)
        ).is_success


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(("point", "stage"), [("always", "low"), ("never", "high")])
async def test_classify_an_image(
    http: httpx.AsyncClient, photograph: Photograph, kind: str, point: str, stage: str
) -> None:
    file = BytesIO()
    Image.fromarray(photograph).save(file, kind)
    headers = {"content-type": f"image/{kind.lower()}"}
    reply = await http.post(
        "/v1/classify", params={"operating_point": point}, content=file.getvalue(), headers=headers
    )
    assert reply.status_code == 200, reply.text
    assert reply.json()["stage"] == stage


@pytest.mark.parametrize("cropped", [False, True])
async def test_an_image_is_answered_as_its_payloads_are(
    http: httpx.AsyncClient, encoded: Encoded, photograph: Photograph, tiny_profile: Profile, cropped: bool
) -> None:
    file = BytesIO()
    whole = Image.fromarray(photograph)
    sent = Image.fromarray(fit(whole, tiny_profile.size)) if cropped else whole
    sent.save(file, "PNG")  # without loss, so that both see the same pixels
    both = {"content-type": "application/vnd.overtone"}
    for point in (ALWAYS, NEVER):
        params = {**point, "top": "10", "cropped": str(cropped).lower()}
        alone = await http.post("/v1/classify", params=params, content=file.getvalue())
        joined = join(encoded.layers)
        payloads = await http.post("/v1/classify", params=params, content=joined, headers=both)
        assert payloads.status_code == 200, payloads.text
        assert [s["index"] for s in alone.json()["top"]] == [s["index"] for s in payloads.json()["top"]]
        assert alone.json()["confidence"] == pytest.approx(payloads.json()["confidence"], abs=1e-5)


async def test_what_cannot_be_classified(http: httpx.AsyncClient, encoded: Encoded, jpeg: bytes) -> None:
    async def sent(kind: str, body: bytes) -> tuple[int, str]:
        return error(await http.post("/v1/classify", content=body, headers={"content-type": kind}))

    assert await sent("image/tiff", jpeg) == (415, "INVALID_ARGUMENT")
    assert await sent("image/jpeg", b"II*\x00" + bytes(100)) == (415, "INVALID_ARGUMENT")
    assert await sent("image/jpeg", jpeg[:200]) == (400, "INVALID_ARGUMENT")
    assert await sent("image/jpeg", jpeg[:-200]) == (400, "INVALID_ARGUMENT")
    assert await sent("application/vnd.overtone", jpeg) == (400, "INVALID_ARGUMENT")
    assert await sent("application/vnd.overtone", first(encoded)[:-1]) == (400, "INVALID_ARGUMENT")
    assert await sent("application/vnd.overtone", further(encoded)) == (400, "INVALID_ARGUMENT")
    assert await sent("application/octet-stream", b"") == (400, "INVALID_ARGUMENT")


async def test_image_of_too_many_pixels(serve: Serve, jpeg: bytes) -> None:
    async with serve(max_image_pixels=1000) as server, client_of(server) as http:
        assert error(await http.post("/v1/classify", content=jpeg)) == (413, "INVALID_ARGUMENT")


async def test_bad_payloads(
    http: httpx.AsyncClient, hostile: list[tuple[bytes, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    both = {"content-type": "application/vnd.overtone"}
    for low, high in hostile:
        for reply in (
            await http.post("/v1/images", content=join([low])),
            await http.post("/v1/classify", content=join((low, high)), headers=both),
        ):
            # Random bytes may name another profile.
            assert error(reply) in ((400, "INVALID_ARGUMENT"), (409, "FAILED_PRECONDITION"))
    assert not [record for record in caplog.records if record.name.startswith("overtone")]


async def test_bad_options(http: httpx.AsyncClient, encoded: Encoded) -> None:
    for params in ({"top": 0}, {"top": "many"}, {"operating_point": "nobody's"}):
        reply = await http.post("/v1/images", params=params, content=first(encoded))
        assert error(reply) == (400, "INVALID_ARGUMENT")


async def test_too_large_is_refused_before_it_is_read(http: httpx.AsyncClient) -> None:
    for path, size in (("/v1/images", 3 << 20), ("/v1/images", 9 << 20), ("/v1/classify", 9 << 20)):
        assert error(await http.post(path, content=bytes(size))) == (413, "INVALID_ARGUMENT")


async def test_one_payload_may_not_be_too_large(http: httpx.AsyncClient, encoded: Encoded) -> None:
    for path in ("images", "classify"):
        body = join([encoded.layers[0], bytes(257 << 10)])
        kind = {"content-type": "application/vnd.overtone"}
        assert error(await http.post(f"/v1/{path}", content=body, headers=kind)) == (413, "INVALID_ARGUMENT")


async def test_too_large_is_refused_while_it_streams(server: Running) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield bytes(64 << 10)

    async with in_process(server.service) as http:
        reply = await http.post("/v1/images", content=endless())
    assert error(reply) == (413, "INVALID_ARGUMENT")
    assert sent * (64 << 10) < 20 << 20


async def test_refusals_reach_a_client_that_is_still_sending(serve: Serve) -> None:
    async with serve(tokens=("secret",)) as server, client_of(server) as http:
        reply = await http.post("/v1/classify", content=bytes(4 << 20))
        assert error(reply) == (401, "UNAUTHENTICATED")
        known = {"authorization": "Bearer secret"}
        reply = await http.post("/v1/images/lost/layers", content=bytes(4 << 20), headers=known)
        assert error(reply) == (410, "ABORTED")


async def test_bodies_are_bounded_together(serve: Serve, jpeg: bytes) -> None:
    async with serve(body_bytes=len(jpeg) - 1) as server, client_of(server) as http:
        reply = await http.post("/v1/classify", content=jpeg)
        assert error(reply) == (429, "RESOURCE_EXHAUSTED")
        assert reply.headers["retry-after"] == "1"
        assert server.service.body_budget.used == 0


async def test_body_that_does_not_come(serve: Serve) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(0.3)
        yield b"x"

    async with serve(body_timeout=0.05) as server, client_of(server) as http:
        assert error(await http.post("/v1/images", content=stuck())) == (408, "DEADLINE_EXCEEDED")


async def test_unknown_paths_and_methods(http: httpx.AsyncClient) -> None:
    assert error(await http.get("/v1/nothing")) == (404, "NOT_FOUND")
    assert (await http.get("/v1/images")).status_code == 405
    assert error(await http.post("/v1/images/unknown/layers", content=b"x")) == (410, "ABORTED")


async def test_model_and_profile(http: httpx.AsyncClient, tiny_profile: Profile) -> None:
    said = (await http.get("/v1/model")).json()
    assert said.pop("certified") == {"always": [], "never": [], "default": []}
    card = Card.model_validate(said)
    assert (card.name, card.profile) == ("tiny", tiny_profile)
    reply = await http.get("/v1/profile")
    assert reply.text == tiny_profile.to_json()
    assert reply.headers["etag"] == f'"{tiny_profile.id.hex()}"'
    known = await http.get("/v1/profile", headers={"if-none-match": reply.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize("path", ["/v1/model", "/v1/labels", "/v1/profile"])
async def test_what_describes_a_model_is_compressed_for_those_who_can_read_it(
    http: httpx.AsyncClient, path: str
) -> None:
    packed = await http.get(path, headers={"accept-encoding": "br, GZip ;q=0.5"})
    assert packed.headers["content-encoding"] == "gzip"
    for refused in ("identity", "gzip; q=0, deflate", "br"):
        plain = await http.get(path, headers={"accept-encoding": refused})
        assert "content-encoding" not in plain.headers
        assert plain.headers["vary"] == "accept-encoding"
        assert packed.json() == plain.json()
        assert int(packed.headers["content-length"]) < len(plain.content)


async def test_a_part_of_the_profile_and_the_labels(http: httpx.AsyncClient, tiny_profile: Profile) -> None:
    reply = await http.get("/v1/profile", params={"quality": 3, "layers": 1})
    assert reply.headers["content-type"] == "application/vnd.overtone.profile"
    assert reply.headers["etag"] == f'"{tiny_profile.id.hex()}"'
    first = unpack_part(reply.content)
    assert first == part_of(tiny_profile, 3, 1)
    further = await http.get("/v1/profile", params={"quality": 3, "after": 1, "layers": 0})
    assert unpack_part(further.content, first) == part_of(tiny_profile, 3)
    assert (await http.get("/v1/labels")).json()["labels"] == list(tiny_profile.labels)
    for bad in ({"quality": 9}, {"after": 2}, {"layers": 3}, {"layers": -1}):
        assert error(await http.get("/v1/profile", params={"layers": 0} | bad)) == (400, "INVALID_ARGUMENT")


async def after_some_requests(http: httpx.AsyncClient, encoded: Encoded) -> str:
    """The metrics of a new server after five requests."""
    await http.post("/v1/images", params=ALWAYS, content=first(encoded))
    asked = await http.post("/v1/images", params=NEVER, content=first(encoded))
    await http.post(asked.headers["location"], params=NEVER, content=further(encoded))
    await http.post("/v1/images", content=join([b"rubbish"]))
    both = {"content-type": "application/vnd.overtone"}  # where low suffices high is dropped
    await http.post("/v1/classify", params=ALWAYS, content=join(encoded.layers), headers=both)
    return (await http.get("/metrics")).text


async def test_metrics_tell_what_happened(serve: Serve, encoded: Encoded) -> None:
    async with serve() as server, client_of(server) as http:
        text = await after_some_requests(http, encoded)
    for line in (
        'overtone_requests_total{code="OK",face="rest"} 4.0',
        'overtone_requests_total{code="INVALID_ARGUMENT",face="rest"} 1.0',
        'overtone_answers_total{stage="low"} 2.0',
        'overtone_answers_total{stage="high"} 1.0',
        'overtone_escalations_total{layer="2"} 1.0',
        f'overtone_received_bytes_total{{layer="1"}} {3 * len(encoded.layers[0]) + 7}.0',
        f'overtone_received_bytes_total{{layer="2"}} {len(encoded.layers[1])}.0',
        f"overtone_dropped_bytes_total {len(encoded.layers[1])}.0",
        'overtone_request_seconds_count{face="rest"} 5.0',
        'overtone_queue_seconds_count{stage="low"} 3.0',
        'overtone_compute_seconds_count{stage="high"} 1.0',
        'overtone_batch_size_count{stage="low"} 3.0',
        'overtone_queue_depth{stage="low"} 0.0',
        "overtone_sessions 0.0",
        "overtone_state_hits_total 1.0",
        "overtone_state_misses_total 0.0",
        "overtone_state_evictions_total 0.0",
    ):
        assert line in text.splitlines(), line


async def test_documentation_is_served(http: httpx.AsyncClient) -> None:
    assert (await http.get("/docs")).status_code == 200
    assert "/v1/images/{token}/layers" in json.loads((await http.get("/openapi.json")).content)["paths"]


async def test_an_unexpected_exception_is_logged_and_answered(
    http: httpx.AsyncClient, encoded: Encoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overtone.gpu_server.image_input.decode", lambda *_: 1 / 0)
    reply = await http.post("/v1/images", content=first(encoded))
    assert error(reply) == (500, "INTERNAL")
    assert "division" not in reply.text


async def test_loading_server_lives_but_is_not_ready(settings: MakeSettings, encoded: Encoded) -> None:
    service = Service(settings())
    async with in_process(service) as http:
        assert (await http.get("/livez")).status_code == 200
        assert (await http.get("/readyz")).status_code == 503
        reply = await http.post("/v1/images", content=first(encoded))
        assert error(reply) == (503, "UNAVAILABLE")
        assert reply.headers["retry-after"]
        await service.load()
        assert (await http.get("/readyz")).text == "ready"
        await service.stop()
        assert (await http.get("/readyz")).status_code == 503


@pytest.mark.parametrize("half", [False, True])
async def test_work_for_a_client_that_left_is_cancelled(
    server: Running, encoded: Encoded, half: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Through the ASGI interface, where the moment of leaving can be chosen."""
    messages: Iterator[dict[str, object]] = iter(
        [{"type": "http.request", "body": first(encoded), "more_body": half}]
    )

    async def receive() -> dict[str, object]:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: object) -> None:
        pass

    def cancelled() -> float:
        return value(server.service.metrics, "overtone_requests_total", face="rest", code="CANCELLED")

    before = cancelled()
    scope: dict[str, object] = {"type": "http", "method": "POST", "path": "/v1/images", "query_string": b""}
    scope |= {"headers": [], "client": ("127.0.0.1", 1), "scheme": "http"}
    scope |= {"http_version": "1.1", "root_path": ""}
    await create_app(server.service)(scope, receive, send)
    assert cancelled() == before + 1
    assert server.service.body_budget.used == 0
    assert not caplog.records


async def test_high_that_comes_after_low_was_lost_is_dropped(
    settings: MakeSettings, encoded: Encoded
) -> None:
    """Lost while the body came, because there was room for one image of this client only."""
    service = Service(settings(state_bytes=ROOM_FOR_ONE))
    await service.load()

    async def body() -> AsyncIterator[bytes]:
        yield further(encoded)[:5]
        assert (await http.post("/v1/images", params=NEVER, content=first(encoded))).status_code == 202
        yield further(encoded)[5:]

    async with in_process(service) as http:
        asked = await http.post("/v1/images", params=NEVER, content=first(encoded))
        reply = await http.post(asked.headers["location"], params=NEVER, content=body())
    await service.stop()
    assert error(reply) == (410, "ABORTED")
    assert value(service.metrics, "overtone_dropped_bytes_total") == len(encoded.layers[1])
    assert value(service.metrics, "overtone_state_hits_total") == 0
    assert value(service.metrics, "overtone_state_misses_total") == 1


async def test_descriptions_are_not_made_for_every_request(
    http: httpx.AsyncClient, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making one takes milliseconds, for which the event loop would stand still."""

    def again(*_: object, **__: object) -> None:
        raise AssertionError

    for kind, name in ((Profile, "pack"), (Profile, "to_json"), (Card, "model_dump")):
        monkeypatch.setattr(kind, name, again)
    assert (await http.get("/v1/model")).status_code == 200
    assert (await http.get("/v1/profile")).status_code == 200
    stub = stubs.CascadeStub(channel)  # type: ignore[no-untyped-call]
    assert (await stub.DescribeModel(pb.DescribeModelRequest())).name == "tiny"


async def test_a_server_whose_network_fails_is_not_ready_until_it_works_again(
    serve: Serve, encoded: Encoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    async def becomes(status: int) -> str:
        async with asyncio.timeout(LATER):
            while (reply := await http.get("/readyz")).status_code != status:
                await asyncio.sleep(0.01)
            return reply.text

    async with (
        serve(probe_interval=0.02, networks=1) as server,
        client_of(server) as http,
        grpc.aio.insecure_channel(f"{server.host}:{server.grpc_port}") as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await health.read()).status == SERVING
        with monkeypatch.context() as patch:
            patch.setattr(TorchNetwork, "run", broken)
            reply = await http.post("/v1/images", params=ALWAYS, content=first(encoded))
            assert error(reply) == (500, "INTERNAL")
            assert await becomes(503) == "the network fails (RuntimeError)"
            assert (await health.read()).status == NOT_SERVING
            reply = await http.post("/v1/images", params=ALWAYS, content=first(encoded))
            assert error(reply) == (503, "UNAVAILABLE")
            session = stubs.CascadeStub(channel).Session()  # type: ignore[no-untyped-call]
            with contextlib.suppress(grpc.aio.AioRpcError):  # it may be refused before it says a word
                await session.write(pb.Upstream(hello=pb.Hello()))
            assert await session.code() is grpc.StatusCode.UNAVAILABLE
        assert await becomes(200) == "ready"
        assert (await health.read()).status == SERVING
        reply = await http.post("/v1/images", params=ALWAYS, content=first(encoded))
        assert reply.status_code == 200
        health.cancel()
