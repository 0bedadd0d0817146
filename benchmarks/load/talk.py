"""How a simulated device asks a server: with Overtone's own client, in one call, or by uploading a file."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import grpc
import httpx

from overtone.benchmarks.load.ready import Parcel
from overtone.benchmarks.load.upload import Rival
from overtone.edge_client import AsyncClient, EncodedImage, OvertoneError, Policy, ProtocolError
from overtone.edge_client.errors import ConnectionLost, from_code
from overtone.edge_client.grpc_transport import CHANNEL
from overtone.edge_client.session import STAGES, from_rpc
from overtone.edge_client.stage import Stage
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs

Kind = Literal["session", "one-shot", "rest", "upload"]
PAYLOADS = "application/vnd.overtone"
PATIENCE = 60.0


@dataclass(frozen=True)
class Wish:
    """What a device is and wants; `policy` and `quality` mean nothing to one that uploads files.

    A one-shot device always sends both payloads together.
    """

    kind: Kind = "session"
    policy: Policy = "auto"
    operating_point: str = ""
    quality: int | None = None
    rival: Rival | None = None
    token: str | None = field(default=None, repr=False)
    cache: Path | None = None

    @property
    def scheme(self) -> str:
        """What its addresses begin with."""
        return "grpc" if self.kind in ("session", "one-shot") else "http"


@dataclass(frozen=True)
class Reply:
    """What came back: a class, how it was found, what was sent for it, and the server's own milliseconds."""

    index: int
    stage: Stage
    payload: int
    high: int
    queue_ms: float
    compute_ms: float


class Talk(Protocol):
    """A way to ask. Use it in an `async with`; what it raises is of `OvertoneError`."""

    async def __aenter__(self) -> Self:
        """Connect."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""

    async def ask(self, parcel: Parcel) -> Reply:
        """One picture."""


def talk(wish: Wish, address: str) -> Talk:
    """The way that a wish asks for, to "host:port"."""
    if wish.kind == "one-shot":
        return OneShot(wish, address)
    if wish.kind == "upload":
        return Uploads(wish, address)
    return Prepared(wish, address)


class Prepared(AsyncClient):
    """Overtone's client, for pictures that are encoded already."""

    def __init__(self, wish: Wish, address: str) -> None:
        super().__init__(
            f"{wish.scheme}://{address}",
            token=wish.token,
            policy=wish.policy,
            operating_point=wish.operating_point,
            quality=wish.quality,
            timeout=PATIENCE,
            cache=wish.cache,
        )

    async def ask(self, parcel: Parcel) -> Reply:
        """One picture, by the policy."""
        assert isinstance(parcel.coded, EncodedImage)
        answer = await self.classify(parcel.coded)
        return Reply(
            answer.index,
            answer.stage,
            answer.bytes_sent,
            max(0, answer.bytes_sent - len(parcel.coded.encoded.low)),
            answer.timings.queue_ms,
            answer.timings.compute_ms,
        )


class OneShot:
    """Both payloads in one call of gRPC."""

    def __init__(self, wish: Wish, address: str) -> None:
        self._address = address
        self._options = pb.Options(operating_point=wish.operating_point)
        self._metadata = (("authorization", f"Bearer {wish.token}"),) if wish.token else ()

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._address, options=CHANNEL)
        self._stub = stubs.CascadeStub(self._channel)  # type: ignore[no-untyped-call]
        try:
            await asyncio.wait_for(self._channel.channel_ready(), PATIENCE)
        except TimeoutError:
            await self._channel.close(0)
            raise ConnectionLost(f"no connection to {self._address}") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close(0)

    async def ask(self, parcel: Parcel) -> Reply:
        """One picture."""
        assert isinstance(parcel.coded, EncodedImage)
        low, high = parcel.coded.encoded.low, parcel.coded.encoded.high
        request = pb.ClassifyRequest(low=low, high=high, options=self._options)
        try:
            answer = await self._stub.Classify(request, metadata=self._metadata, timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error
        queue, compute = answer.queue_us / 1e3, answer.compute_us / 1e3
        sent = len(low) + len(high)
        return Reply(answer.top[0].index, STAGES[answer.stage], sent, len(high), queue, compute)


class Uploads:
    """A file a picture, over one kept-alive HTTP connection."""

    def __init__(self, wish: Wish, address: str) -> None:
        assert wish.rival is not None
        self._headers = {"content-type": wish.rival.media_type}
        if wish.token:
            self._headers["authorization"] = f"Bearer {wish.token}"
        self._params = {"cropped": "true"}
        if wish.operating_point:
            self._params["operating_point"] = wish.operating_point
        self._http = httpx.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE, trust_env=False)
        # What httpx says of itself and accepts: a device that counts bytes would say none of it.
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

    async def ask(self, parcel: Parcel) -> Reply:
        """One picture."""
        assert isinstance(parcel.coded, bytes)
        try:
            response = await self._http.post(
                "/v1/classify", content=parcel.coded, params=self._params, headers=self._headers
            )
        except httpx.HTTPError as error:
            raise _lost(error) from error
        told = _read(response)
        return Reply(
            told["index"],
            told["stage"],
            len(parcel.coded),
            0,
            told["timings"]["queue_ms"],
            told["timings"]["compute_ms"],
        )


def _read(response: httpx.Response) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(response.content)
        if response.is_success:
            return told
        raise from_code(told["error"]["code"], told["error"]["message"], None)
    except (ValueError, LookupError, TypeError):
        raise ProtocolError(f"HTTP {response.status_code} without JSON of ours") from None


def _lost(error: httpx.HTTPError) -> OvertoneError:
    return ConnectionLost(str(error) or type(error).__name__)
