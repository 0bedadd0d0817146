"""How a simulated device sends an image: with Overtone's own client, in one call, or by uploading a file."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import grpc
import httpx

from overtone.benchmarks.load.baseline import Baseline
from overtone.benchmarks.load.prepared import PreparedImage
from overtone.edge_client import (
    Answer,
    AsyncClient,
    Detected,
    EncodedImage,
    OvertoneError,
    Policy,
    ProtocolError,
    Task,
)
from overtone.edge_client.conversation import AT_ONCE
from overtone.edge_client.errors import ConnectionLost, from_code
from overtone.edge_client.exchange import picture_size
from overtone.edge_client.grpc_answer import STAGES
from overtone.edge_client.grpc_errors import from_rpc
from overtone.edge_client.grpc_transport import CHANNEL
from overtone.edge_client.stage import Stage
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs

Kind = Literal["session", "one-shot", "rest", "upload"]
TIMEOUT = 60.0


@dataclass(frozen=True)
class DeviceConfig:
    """The kind of a device and its options; `policy` and `quality` do not apply to one that uploads files.

    A one-shot device always sends all layers together. `task` is what the server's model does.
    """

    kind: Kind = "session"
    policy: Policy = "auto"
    operating_point: str = ""
    quality: int | None = None
    baseline: Baseline | None = None
    token: str | None = field(default=None, repr=False)
    cache: Path | None = None
    task: Task = "classify"

    @property
    def transport(self) -> Literal["grpc", "rest"]:
        """The transport that this kind of device uses: "grpc" or "rest"."""
        return "grpc" if self.kind in ("session", "one-shot") else "rest"


@dataclass(frozen=True)
class Reply:
    """An answer: its class, its stage, its layers, the bytes sent for it, and the server's own milliseconds.

    A detector's answer has no class.
    """

    index: int | None
    stage: Stage
    layers: int
    payload: int
    by_layer: Sequence[int]
    queue_ms: float
    compute_ms: float


class LoadClient(Protocol):
    """An open connection to a server; it raises subclasses of `OvertoneError`."""

    async def send(self, image: PreparedImage) -> Reply:
        """Send one image and wait for the answer."""


def open_client(config: DeviceConfig, address: str) -> AbstractAsyncContextManager[LoadClient]:
    """A client of the configured kind, connected to "host:port" when entered."""
    if config.kind == "one-shot":
        return OneShotClient(config, address)
    if config.kind == "upload":
        return UploadClient(config, address)
    return PolicyClient(config, address)


class PolicyClient(AsyncClient):
    """Overtone's client, for images that are encoded already."""

    def __init__(self, config: DeviceConfig, address: str) -> None:
        scheme = "grpc" if config.transport == "grpc" else "http"
        super().__init__(
            f"{scheme}://{address}",
            token=config.token,
            policy=config.policy,
            operating_point=config.operating_point,
            quality=config.quality,
            timeout=TIMEOUT,
            cache=config.cache,
        )

    async def send(self, image: PreparedImage) -> Reply:
        """Send one image by the policy."""
        assert isinstance(image.coded, EncodedImage)
        answer: Answer | Detected
        if image.coded.task == "classify":
            answer = await self.classify(image.coded)
        else:
            answer = await self.detect(image.coded)
        by_layer, timings = _by_layer(answer.bytes_sent, image.coded), answer.timings
        return Reply(
            answer.index if isinstance(answer, Answer) else None,
            answer.stage,
            answer.layers,
            answer.bytes_sent,
            by_layer,
            timings.queue_ms,
            timings.compute_ms,
        )


def _by_layer(sent: int, image: EncodedImage) -> list[int]:
    """Payload bytes by layer. A detector's layers after the first are sent for regions, and count as one."""
    encoded = image.encoded
    if image.task == "detect":
        first = len(encoded.layers[0])
        return [min(sent, first), max(0, sent - first)]
    ends = accumulate(map(len, encoded.layers))
    return [
        max(0, min(len(payload), sent - end + len(payload)))
        for payload, end in zip(encoded.layers, ends, strict=True)
    ]


class OneShotClient:
    """All layers in one gRPC call."""

    def __init__(self, config: DeviceConfig, address: str) -> None:
        self._address = address
        self._options = pb.Options(operating_point=config.operating_point)
        self._metadata = (("authorization", f"Bearer {config.token}"),) if config.token else ()

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._address, options=CHANNEL)
        self._stub = stubs.CascadeStub(self._channel)  # type: ignore[no-untyped-call]
        try:
            await asyncio.wait_for(self._channel.channel_ready(), TIMEOUT)
        except TimeoutError:
            await self._channel.close(0)
            raise ConnectionLost(f"no connection to {self._address}") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close(0)

    async def send(self, image: PreparedImage) -> Reply:
        """Send one image."""
        assert isinstance(image.coded, EncodedImage)
        layers = image.coded.encoded.layers
        picture = picture_size(image.coded.picture)
        request = pb.ClassifyRequest(layers=layers, options=self._options, picture=picture)
        try:
            answer = await self._stub.Classify(request, metadata=self._metadata, timeout=TIMEOUT)
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error
        queue, compute, by_layer = answer.queue_us / 1e3, answer.compute_us / 1e3, [len(p) for p in layers]
        index, stage = answer.top[0].index if answer.top else None, STAGES[answer.stage]
        return Reply(index, stage, answer.layers, sum(by_layer), by_layer, queue, compute)


class UploadClient:
    """One file per image, over one kept-alive HTTP connection."""

    def __init__(self, config: DeviceConfig, address: str) -> None:
        assert config.baseline is not None
        self._headers = {"content-type": config.baseline.media_type}
        if config.token:
            self._headers["authorization"] = f"Bearer {config.token}"
        self._path = AT_ONCE[config.task]
        self._params = {"cropped": "true"} if config.task == "classify" else {}
        if config.operating_point:
            self._params["operating_point"] = config.operating_point
        self._http = httpx.AsyncClient(base_url=f"http://{address}", timeout=TIMEOUT, trust_env=False)
        # A device that saves bytes would not send httpx's default headers.
        self._http.headers.clear()

    async def __aenter__(self) -> Self:
        try:
            await self._http.get("/livez")
        except httpx.HTTPError as error:
            await self._http.aclose()
            raise _lost(error) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def send(self, image: PreparedImage) -> Reply:
        """Send one image."""
        assert isinstance(image.coded, bytes)
        try:
            response = await self._http.post(
                self._path, content=image.coded, params=self._params, headers=self._headers
            )
        except httpx.HTTPError as error:
            raise _lost(error) from error
        answer = _read(response)
        timings = answer["timings"]
        size, queue, compute = len(image.coded), timings["queue_ms"], timings["compute_ms"]
        return Reply(answer.get("index"), answer["stage"], 0, size, [], queue, compute)


def _read(response: httpx.Response) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(response.content)
        if response.is_success:
            return found
        raise from_code(found["error"]["code"], found["error"]["message"], None)
    except (ValueError, LookupError, TypeError):
        raise ProtocolError(f"HTTP {response.status_code} without Overtone's JSON") from None


def _lost(error: httpx.HTTPError) -> OvertoneError:
    return ConnectionLost(str(error) or type(error).__name__)
