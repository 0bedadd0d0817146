"""Payloads random, damaged, too large or for another model: the right code, and a server that stays well."""

import queue
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray

from overtone.frequency import Encoded, Profile, encode, fit, open_rgb
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs
from tests.end_to_end.conftest import LATER, Server

PAYLOADS = {"content-type": "application/vnd.overtone"}
KIB = 1024


@pytest.fixture(autouse=True)
def _stays_well(server: Server) -> Iterator[None]:
    """Whatever a test sends, afterwards gRPC and REST are ready and nothing has been logged."""
    yield
    assert server.process.poll() is None
    with server.http() as http:
        assert http.get("/readyz").status_code == 200
    with grpc.insecure_channel(server.grpc) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        assert check(health_pb2.HealthCheckRequest(), timeout=LATER).status == 1
    assert server.errors.read_text() == ""


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with server.http() as client:
        yield client


@pytest.fixture
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


@pytest.fixture
def classify(channel: grpc.Channel) -> Callable[..., Any]:
    stub = stubs.CascadeStub(channel)  # type: ignore[no-untyped-call]

    def call(low: bytes, high: bytes) -> Any:
        return stub.Classify(pb.ClassifyRequest(low=low, high=high), timeout=LATER)

    return call


def hostile(encoded: Encoded) -> list[tuple[bytes, bytes]]:
    """Random bytes of many lengths, and real payloads cut, flipped, stretched and swapped."""
    rng = np.random.default_rng(11)
    pairs = [(rng.bytes(size), rng.bytes(size)) for size in (0, 1, 9, 10, 14, 100, 1000, 20_000)]
    low, high = encoded.low, encoded.high
    middle = len(low) // 2
    pairs += [
        (low[:middle], high),
        (low[:-1], high),
        (low + b"\0", high),
        (low[:middle] + bytes([low[middle] ^ 1]) + low[middle + 1 :], high),
        (low[:14] + rng.bytes(len(low) - 14), high),
        (high, low),
    ]
    return pairs


def test_rest_refuses_random_and_damaged_payloads(http: httpx.Client, encoded: Encoded) -> None:
    for low, high in hostile(encoded):
        for response in (
            http.post("/v1/images", content=low),
            http.post("/v1/classify", content=low + high, headers=PAYLOADS),
        ):
            # Random bytes may name another profile.
            assert response.status_code in (400, 409), response.text
            assert response.json()["error"]["message"]


def test_rest_refuses_a_damaged_high_and_takes_the_good_one(http: httpx.Client, encoded: Encoded) -> None:
    point = {"operating_point": "never"}
    where = http.post("/v1/images", content=encoded.low, params=point).headers["location"]
    damaged = encoded.high[:-1] + bytes([encoded.high[-1] ^ 0xFF])
    assert http.post(where, content=damaged, params=point).status_code == 400
    assert http.post(where, content=encoded.high, params=point).json()["stage"] == "high"


def test_grpc_refuses_random_and_damaged_payloads(classify: Callable[..., Any], encoded: Encoded) -> None:
    for low, high in hostile(encoded):
        with pytest.raises(grpc.RpcError) as error:
            classify(low, high)
        assert error.value.code() in (
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.FAILED_PRECONDITION,
        )


def test_oversized(http: httpx.Client, classify: Callable[..., Any], encoded: Encoded) -> None:
    for size in (257 * KIB, 4096 * KIB):
        assert http.post("/v1/images", content=bytes(size)).status_code == 413
        assert http.post("/v1/classify", content=bytes(2 * size), headers=PAYLOADS).status_code == 413
    assert http.post("/v1/classify", content=bytes(9 * KIB * KIB)).status_code == 413
    with pytest.raises(grpc.RpcError) as error:
        classify(bytes(300 * KIB), b"")
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as error:
        classify(bytes(600 * KIB), bytes(600 * KIB))
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_another_models_payloads(
    http: httpx.Client,
    channel: grpc.Channel,
    classify: Callable[..., Any],
    tiny_profile: Profile,
    photograph: NDArray[np.uint8],
) -> None:
    other = replace(tiny_profile, name="another")
    foreign = encode(fit(open_rgb(photograph), other.size), other)
    response = http.post("/v1/images", content=foreign.low)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "FAILED_PRECONDITION")
    with pytest.raises(grpc.RpcError) as error:
        classify(foreign.low, foreign.high)
    assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    stub = stubs.CascadeStub(channel)  # type: ignore[no-untyped-call]
    hello = pb.Upstream(hello=pb.Hello(profile_id=other.id))
    with pytest.raises(grpc.RpcError) as error:
        next(stub.Session(iter([hello]), timeout=LATER))
    assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_a_bad_image_leaves_its_session_alone(channel: grpc.Channel, encoded: Encoded) -> None:
    upstream: queue.Queue[pb.Upstream | None] = queue.Queue()
    stub = stubs.CascadeStub(channel)  # type: ignore[no-untyped-call]
    call = stub.Session(iter(upstream.get, None), timeout=LATER)
    upstream.put(pb.Upstream(hello=pb.Hello(options=pb.Options(operating_point="always"))))
    assert next(call).HasField("welcome")
    bad = [low for low, _ in hostile(encoded)] + [bytes(300 * KIB)]
    for number, low in enumerate(bad):
        upstream.put(pb.Upstream(image=pb.Image(id=number, low=low)))
        error = next(call).error
        assert (error.id, error.code in (3, 9)) == (number, True)
    upstream.put(pb.Upstream(image=pb.Image(id=999, low=encoded.low)))
    assert next(call).answer.id == 999
    upstream.put(pb.Upstream(end=pb.End()))
    upstream.put(None)
    assert list(call) == []
