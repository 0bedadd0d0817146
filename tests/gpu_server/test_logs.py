"""Ids of requests in responses and logs, the access log, and logs as JSON."""

import io
import json
import logging
import re
from typing import Any

import httpx
import pytest
from grpc.aio import Channel
from opentelemetry.trace import TracerProvider, get_current_span

from overtone.frequency import Encoded
from overtone.gpu_server.telemetry import logs
from overtone.protos import overtone_pb2 as pb
from tests.gpu_server.conftest import SHARED_LOOP
from tests.gpu_server.test_grpc_server import session, stub_of
from tests.gpu_server.test_rest_api import ALWAYS, first
from tests.waiting import until

pytestmark = SHARED_LOOP

MADE = re.compile(r"[0-9a-f]{16}")


async def test_every_response_has_an_id(http: httpx.AsyncClient, encoded: Encoded) -> None:
    for path in ("/v1/images", "/v1/nothing", "/livez"):
        reply = await http.post(path, content=b"x", headers={"x-request-id": "mine-1"})
        assert reply.headers["x-request-id"] == "mine-1"
        reply = await http.post(path, content=b"x")
        assert MADE.fullmatch(reply.headers["x-request-id"])
    for unusable in ("two words", "x" * 65, 'a"b', "{}"):
        reply = await http.get("/livez", headers={"x-request-id": unusable})
        assert MADE.fullmatch(reply.headers["x-request-id"])


async def test_every_call_has_an_id(channel: Channel, encoded: Encoded) -> None:
    stub, mine = stub_of(channel), (("x-request-id", "mine-2"),)
    for metadata, expected in ((mine, re.compile("mine-2")), (None, MADE)):
        for request in (
            pb.ClassifyRequest(layers=encoded.layers),
            pb.ClassifyRequest(),
        ):  # the second is refused
            call = stub.Classify(request, metadata=metadata)
            await call.code()
            assert expected.fullmatch(dict(await call.trailing_metadata())["x-request-id"])
        async with session(channel, metadata=metadata) as device:
            await device.say(end=pb.End())
            assert await device.hear() is None
            trailing = await device.call.trailing_metadata()
            assert expected.fullmatch(dict(trailing)["x-request-id"])


async def test_the_access_log_has_a_line_for_whatever_arrives(
    http: httpx.AsyncClient, channel: Channel, encoded: Encoded, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logs.access_log.name)
    headers = {"x-request-id": "r"}
    await http.post("/v1/images", params=ALWAYS, content=first(encoded), headers=headers)
    await http.post("/v1/images/secret/layers", content=b"x", headers=headers)
    async with session(channel, metadata=(("x-request-id", "s"),)) as device:
        await device.image(7, encoded.layers[0])
        await device.hear()
        await device.say(end=pb.End())
        assert await device.hear() is None
    await until(lambda: len(caplog.records) == 4)
    fields = [record.__dict__["fields"] for record in caplog.records]
    keys = ("face", "kind", "code", "request", "what", "owner")
    here = "peer 127.0.0.1"
    assert [tuple(each[key] for key in keys) for each in fields] == [
        ("rest", "call", "OK", "r", "POST /v1/images", here),
        ("rest", "call", "ABORTED", "r", "POST /v1/images/*/layers", here),
        ("grpc", "image", "OK", "s/7", "Session", here),
        ("grpc", "stream", "OK", "s", "Session", here),
    ]


async def test_a_failure_is_logged_with_its_request(
    http: httpx.AsyncClient,
    channel: Channel,
    encoded: Encoded,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(logs.formatter("json"))
    monkeypatch.setattr("overtone.gpu_server.image_input.decode", lambda *_: 1 / 0)
    logger = logging.getLogger("overtone")
    logger.addHandler(handler)
    try:
        await http.post("/v1/images", content=first(encoded), headers={"x-request-id": "rest"})
        async with session(channel, metadata=(("x-request-id", "grpc"),)) as device:
            await device.image(3, encoded.layers[0])
            await device.hear()
    finally:
        logger.removeHandler(handler)
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [line["request"] for line in lines] == ["rest", "grpc/3"]
    for line in lines:
        assert {"level": "error", "message": "a request failed"}.items() <= line.items()
        assert "ZeroDivisionError" in line["exception"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


async def test_a_line_of_text_ends_with_the_request() -> None:
    record = logging.LogRecord("overtone.x", logging.WARNING, "", 1, "careful: %s", ("wet",), None)
    text = logs.formatter("text")
    assert text.format(record).endswith("WARNING overtone.x: careful: wet")
    logs.begin({"x-request-id": "mine"}, "")
    assert text.format(record).endswith("WARNING overtone.x: careful: wet [mine]")
    assert json.loads(logs.formatter("json").format(record))["request"] == "mine"


class Spans(TracerProvider):
    """Keeps what it is told of spans."""

    def __init__(self) -> None:
        self.started: list[tuple[str, dict[str, Any]]] = []
        self.ended = 0

    def get_tracer(self, *_: Any, **__: Any) -> Any:
        return self

    def start_span(self, name: str, **given: Any) -> Any:
        self.started.append((name, given))
        return self

    def end(self, when: int) -> None:
        assert when >= self.started[-1][1]["start_time"]
        self.ended += 1


async def test_spans_belong_to_those_of_the_client(
    channel: Channel, encoded: Encoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = Spans()
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: spans)
    monkeypatch.setattr("opentelemetry.trace.get_tracer", spans.get_tracer)
    theirs = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-request-id": "r"}
    async with session(channel, metadata=tuple(theirs.items())) as device:
        await device.image(7, encoded.layers[0])
        await device.hear()
        await device.say(end=pb.End())
        assert await device.hear() is None
    await until(lambda: spans.ended == 2)
    assert [name for name, _ in spans.started] == ["image", "stream"]
    assert [given["attributes"]["overtone.request"] for _, given in spans.started] == ["r/7", "r"]
    for _, given in spans.started:
        parent = get_current_span(given["context"]).get_span_context()
        assert f"{parent.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
