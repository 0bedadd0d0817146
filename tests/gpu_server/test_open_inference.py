"""The Open Inference Protocol with plain HTTP and plain gRPC; test_tritonclient.py calls it with a stock client."""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from grpc.aio import Channel
from grpc_health.v1 import health_pb2, health_pb2_grpc

from overtone.frequency import Encoded
from overtone.gpu_server.errors import BadRequest
from overtone.gpu_server.grpc.server import NOT_SERVING, SERVING
from overtone.gpu_server.open_inference.protocol import OUTPUTS, SERVER_VERSION, Tensor, unpack
from overtone.gpu_server.open_inference.rest import MAX_JSON
from overtone.gpu_server.rest.api import create_app
from overtone.gpu_server.serve import Running
from overtone.gpu_server.service import Phase, Service
from overtone.protos import open_inference_pb2 as pb
from overtone.protos import open_inference_pb2_grpc as stubs
from tests.gpu_server.conftest import SHARED_LOOP, MakeSettings, client_of, connected, value
from tests.serving import Serve
from tests.waiting import LATER

pytestmark = SHARED_LOOP

INFER = "/v2/models/tiny/infer"
HEADER = "inference-header-content-length"


def text(payload: bytes) -> str:
    return base64.b64encode(payload).decode()


def body(encoded: Encoded, count: int = 1, **more: Any) -> dict[str, Any]:
    """A request with the first layers, in JSON alone."""
    data = [text(payload) for payload in encoded.layers[:count]]
    layers = {"name": "layers", "shape": [count], "datatype": "BYTES", "data": data}
    return {"inputs": [layers], **more}


def outputs(reply: httpx.Response) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    return {output["name"]: output["data"] for output in reply.json()["outputs"]}


def failure(reply: httpx.Response) -> tuple[int, str]:
    """The status and the sentence; the protocol wants it bare."""
    assert set(reply.json()) == {"error"}
    assert isinstance(reply.json()["error"], str)
    return reply.status_code, reply.json()["error"]


async def test_the_layers_of_an_image_are_classified(http: httpx.AsyncClient, encoded: Encoded) -> None:
    parameters = {"top": 3, "operating_point": "never"}
    reply = await http.post(INFER, json=body(encoded, 2, parameters=parameters, id="seven"))
    found = outputs(reply)
    assert list(found) == list(OUTPUTS)
    assert (reply.json()["model_name"], reply.json()["id"]) == ("tiny", "seven")
    assert found["layers"] == [2]
    assert (found["stage"], found["confident"]) == (["high"], [False])
    assert found["probability"] == sorted(found["probability"], reverse=True)
    assert found["label"] == [f"class {index}" for index in found["index"]]
    assert len(found["label"]) == 3
    for described in reply.json()["outputs"]:
        datatype, shape = OUTPUTS[described["name"]]
        assert described["datatype"] == datatype
        assert described["shape"] == [len(found[described["name"]])] == ([3] if shape == (-1,) else [1])


async def test_it_says_what_our_own_protocol_says(http: httpx.AsyncClient, jpeg: bytes) -> None:
    own = await http.post("/v1/classify", params={"top": 2}, content=jpeg)
    image = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [text(jpeg)]}
    reply = await http.post(INFER, json={"inputs": [image], "parameters": {"top": 2}})
    found = outputs(reply)
    assert found["label"] == [score["label"] for score in own.json()["top"]]
    assert found["probability"] == pytest.approx([score["probability"] for score in own.json()["top"]])
    assert found["stage"] == [own.json()["stage"]]


async def test_only_wanted_outputs_are_given(http: httpx.AsyncClient, encoded: Encoded) -> None:
    reply = await http.post(INFER, json=body(encoded, outputs=[{"name": "layers"}, {"name": "label"}]))
    assert set(outputs(reply)) == {"layers", "label"}


async def test_tensors_in_binary(http: httpx.AsyncClient, encoded: Encoded) -> None:
    raw = struct.pack("<I", len(encoded.layers[0])) + encoded.layers[0]
    layers = {
        "name": "layers",
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(raw)},
    }
    wanted = [
        {"name": "label", "parameters": {"binary_data": False}},
        {"name": "probability"},
        {"name": "index"},
    ]
    asked = {"inputs": [layers], "outputs": wanted, "parameters": {"binary_data_output": True, "top": 2}}
    head = json.dumps(asked).encode()
    reply = await http.post(INFER, content=head + raw, headers={HEADER: str(len(head))})
    assert reply.status_code == 200, reply.text
    length = int(reply.headers[HEADER])
    label, index, probability = json.loads(reply.content[:length])["outputs"]
    assert (label["name"], index["name"], probability["name"]) == ("label", "index", "probability")
    assert index["parameters"] == probability["parameters"] == {"binary_data_size": 8}
    numbers = np.frombuffer(reply.content[length:], "<i4", 2)
    likely = np.frombuffer(reply.content[length + 8 :], "<f4")
    assert label["data"] == [f"class {i}" for i in numbers]
    assert likely[0] >= likely[1] > 0


REFUSED = {
    "no JSON": b"{",
    "no inputs": {"inputs": []},
    "two inputs": {"inputs": [{"name": n, "shape": [0], "datatype": "BYTES", "data": []} for n in "ab"]},
    "an unknown input": {"inputs": [{"name": "pixels", "shape": [0], "datatype": "BYTES", "data": []}]},
    "another datatype": {"inputs": [{"name": "layers", "shape": [0], "datatype": "FP32", "data": []}]},
    "another shape": {"inputs": [{"name": "layers", "shape": [2], "datatype": "BYTES", "data": ["QUJD"]}]},
    "no data": {"inputs": [{"name": "layers", "shape": [1], "datatype": "BYTES"}]},
    "no layers": {"inputs": [{"name": "layers", "shape": [0], "datatype": "BYTES", "data": []}]},
    "two images": {"inputs": [{"name": "image", "shape": [2], "datatype": "BYTES", "data": ["", ""]}]},
    "no base64": {"inputs": [{"name": "layers", "shape": [1], "datatype": "BYTES", "data": ["é"]}]},
    "damaged payload": {"inputs": [{"name": "layers", "shape": [1], "datatype": "BYTES", "data": ["QUJD"]}]},
}


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_used_is_refused(http: httpx.AsyncClient, sent: Any) -> None:
    content = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    status, sentence = failure(await http.post(INFER, content=content))
    assert status == 400
    assert sentence


@pytest.mark.parametrize(
    "parameters", [{"top": 0}, {"top": True}, {"top": "2"}, {"operating_point": "odd"}, {"cropped": 1}]
)
async def test_parameters_that_cannot_be_met_are_refused(
    http: httpx.AsyncClient, jpeg: bytes, parameters: dict[str, Any]
) -> None:
    image = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [text(jpeg)]}
    status, sentence = failure(await http.post(INFER, json={"inputs": [image], "parameters": parameters}))
    assert status == 400
    assert next(iter(parameters)).replace("_", " ") in sentence.replace("_", " ")


@pytest.mark.parametrize("length", ["-1", "9999", "x", "²"])
async def test_a_header_length_beyond_the_body_is_refused(http: httpx.AsyncClient, length: str) -> None:
    headers = [(HEADER.encode(), length.encode("latin-1"))]
    assert failure(await http.post(INFER, content=b"{}", headers=headers))[0] == 400


async def test_bytes_that_belong_to_no_input_are_refused(http: httpx.AsyncClient, encoded: Encoded) -> None:
    head = json.dumps(body(encoded)).encode()
    reply = await http.post(INFER, content=head + b"more", headers={HEADER: str(len(head))})
    assert failure(reply) == (400, "4 bytes of the body belong to no input")


@pytest.mark.parametrize("where", ["/v2/models/other", "/v2/models/tiny/versions/2", "/v2/nothing"])
async def test_what_is_not_there_is_not_found(http: httpx.AsyncClient, encoded: Encoded, where: str) -> None:
    assert failure(await http.get(where))[0] == 404
    assert failure(await http.get(f"{where}/ready"))[0] == 404
    assert failure(await http.post(f"{where}/infer", json=body(encoded)))[0] == 404


async def test_server_and_model_are_described(http: httpx.AsyncClient, encoded: Encoded) -> None:
    server = (await http.get("/v2")).json()
    assert server == {"name": "overtone", "version": SERVER_VERSION, "extensions": ["binary_tensor_data"]}
    described = (await http.get("/v2/models/tiny")).json()
    assert described == (await http.get("/v2/models/tiny/versions/1")).json()
    assert [given["name"] for given in described["inputs"]] == ["layers", "image"]
    assert {o["name"]: (o["datatype"], tuple(o["shape"])) for o in described["outputs"]} == OUTPUTS
    assert (await http.get("/v2/models/tiny/versions/1/ready")).json() == {"name": "tiny", "ready": True}
    assert outputs(await http.post("/v2/models/tiny/versions/1/infer", json=body(encoded)))


async def test_health_over_http_while_loading(settings: MakeSettings) -> None:
    service = Service(settings())
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        assert (await http.get("/v2/health/live")).json() == {"live": True}
        reply = await http.get("/v2/health/ready")
        assert (reply.status_code, reply.json()) == (503, {"ready": False})
        assert failure(await http.get("/v2/models/tiny/ready"))[0] == 503


async def test_tokens_hold_over_http(serve: Serve, encoded: Encoded) -> None:
    async with serve(tokens=("secret",)) as server, client_of(server) as http:
        assert (await http.get("/v2/health/ready")).status_code == 200
        for where in ("/v2", "/v2/models/tiny", "/v2/models/tiny/ready"):
            assert failure(await http.get(where))[0] == 401
        assert failure(await http.post(INFER, json=body(encoded)))[0] == 401
        bearer = {"authorization": "Bearer secret"}
        assert outputs(await http.post(INFER, json=body(encoded), headers=bearer))
        async with connected(server) as channel:
            stub = stub_of(channel)
            assert (await stub.ServerReady(pb.ServerReadyRequest())).ready
            for call in (stub.ServerMetadata(pb.ServerMetadataRequest()), stub.ModelInfer(message(encoded))):
                assert await code_of(call) is grpc.StatusCode.UNAUTHENTICATED
            assert (await stub.ModelInfer(message(encoded), metadata=bearer.items())).outputs


def stub_of(channel: Channel) -> Any:
    return stubs.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]


@pytest.fixture
def stub(channel: Channel) -> Any:
    return stub_of(channel)


async def code_of(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


def message(encoded: Encoded, count: int = 1, **more: Any) -> pb.ModelInferRequest:
    contents = pb.InferTensorContents(bytes_contents=encoded.layers[:count])
    kind = pb.ModelInferRequest.InferInputTensor
    layers = kind(name="layers", datatype="BYTES", shape=[count], contents=contents)
    return pb.ModelInferRequest(**{"model_name": "tiny", "inputs": [layers], **more})


def raw(encoded: Encoded) -> pb.ModelInferRequest:
    request = message(encoded)
    request.inputs[0].ClearField("contents")
    request.raw_input_contents.append(struct.pack("<I", len(encoded.layers[0])) + encoded.layers[0])
    return request


async def test_layers_over_grpc(server: Running, stub: Any, encoded: Encoded) -> None:
    before = value(server.service.metrics, "overtone_requests_total", face="grpc", code="OK")
    parameters = {
        "top": pb.InferParameter(int64_param=2),
        "operating_point": pb.InferParameter(string_param="always"),
        "sequence": pb.InferParameter(uint64_param=3),
    }
    reply = await stub.ModelInfer(message(encoded, parameters=parameters, id="seven"))
    assert (reply.model_name, reply.model_version, reply.id) == ("tiny", "1", "seven")
    found = {output.name: output for output in reply.outputs}
    assert list(found) == list(OUTPUTS)
    indices = list(found["index"].contents.int_contents)
    assert list(found["label"].contents.bytes_contents) == [f"class {i}".encode() for i in indices]
    assert len(found["probability"].contents.fp32_contents) == 2
    assert list(found["confident"].contents.bool_contents) == [True]
    assert list(found["stage"].contents.bytes_contents) == [b"low"]
    assert value(server.service.metrics, "overtone_requests_total", face="grpc", code="OK") == before + 1


async def test_raw_contents_are_answered_by_raw_contents(stub: Any, encoded: Encoded) -> None:
    plain, reply = await stub.ModelInfer(message(encoded)), await stub.ModelInfer(raw(encoded))
    assert [output.name for output in reply.outputs] == list(OUTPUTS)
    assert not any(output.HasField("contents") for output in reply.outputs)
    by_name = dict(zip(OUTPUTS, reply.raw_output_contents, strict=True))
    assert unpack(by_name["label"]) == tuple(plain.outputs[0].contents.bytes_contents)
    assert struct.unpack("<f", by_name["probability"])[0] == pytest.approx(
        plain.outputs[2].contents.fp32_contents[0], rel=1e-4
    )
    assert by_name["confident"] in (b"\0", b"\1")


async def test_contents_and_raw_contents_together_are_refused(stub: Any, encoded: Encoded) -> None:
    both = raw(encoded)
    both.inputs[0].contents.bytes_contents.append(encoded.layers[0])
    assert await code_of(stub.ModelInfer(both)) is grpc.StatusCode.INVALID_ARGUMENT
    cut = raw(encoded)
    cut.raw_input_contents[0] = cut.raw_input_contents[0][:-1]
    assert await code_of(stub.ModelInfer(cut)) is grpc.StatusCode.INVALID_ARGUMENT


async def test_models_over_grpc(stub: Any, encoded: Encoded) -> None:
    assert (await stub.ServerLive(pb.ServerLiveRequest())).live
    assert (await stub.ModelReady(pb.ModelReadyRequest(name="tiny", version="1"))).ready
    assert (await stub.ServerMetadata(pb.ServerMetadataRequest())).version == SERVER_VERSION
    described = await stub.ModelMetadata(pb.ModelMetadataRequest(name="tiny"))
    assert list(described.versions) == ["1"]
    assert {o.name: (o.datatype, tuple(o.shape)) for o in described.outputs} == OUTPUTS
    for call in (
        stub.ModelReady(pb.ModelReadyRequest(name="other")),
        stub.ModelMetadata(pb.ModelMetadataRequest(name="tiny", version="2")),
        stub.ModelInfer(message(encoded, model_name="other")),
    ):
        assert await code_of(call) is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("raw_bytes", [b"\1", b"\2\0\0\0x", b"\xff\xff\xff\xff"])
async def test_elements_do_not_go_beyond_their_tensor(raw_bytes: bytes) -> None:
    with pytest.raises(BadRequest, match="longer than the tensor"):
        unpack(raw_bytes)
    assert unpack(Tensor("x", "BYTES", [b"", b"ab"]).pack()) == (b"", b"ab")


async def test_tensors_that_would_take_long_to_read_are_refused(
    http: httpx.AsyncClient, encoded: Encoded, stub: Any
) -> None:
    with pytest.raises(BadRequest, match="more than 8 elements"):
        unpack(bytes(4 * 9))
    reply = await http.post(INFER, content=b'{"inputs": [' + b" " * MAX_JSON + b"]}")
    assert failure(reply)[0] == 413
    many = message(encoded)
    many.inputs[0].shape.extend([2**62] * 8)
    assert await code_of(stub.ModelInfer(many)) is grpc.StatusCode.INVALID_ARGUMENT


@asynccontextmanager
async def watching(channel: Channel, name: str) -> AsyncIterator[Any]:
    stub = health_pb2_grpc.HealthStub(channel)
    call = stub.Watch(health_pb2.HealthCheckRequest(service=name))

    async def status() -> Any:
        async with asyncio.timeout(LATER):
            return (await call.read()).status

    yield status
    call.cancel()


@pytest.mark.parametrize("name", ["", "overtone.v2.Cascade", "inference.GRPCInferenceService"])
async def test_watchers_of_health_are_told_of_every_change(serve: Serve, name: str) -> None:
    async with serve() as server, connected(server) as channel, watching(channel, name) as status:
        assert await status() == SERVING
        server.service.phase = Phase.DRAINING
        assert await status() == NOT_SERVING
        server.service.phase = Phase.READY
        assert await status() == SERVING


async def test_a_watcher_of_an_unknown_service_is_told_so(channel: Channel) -> None:
    async with watching(channel, "other") as status:
        assert await status() == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
