"""How one device of a load test talks to a server, under locust's gevent, with payloads that are ready.

The client in `edge_client` lives on asyncio and encodes every picture: right on a device, and wrong in a
process that plays a thousand of them. gRPC's support for gevent has to be switched on before its first use.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, Self
from urllib.parse import urlencode

import gevent
import grpc
from gevent.queue import Empty, Queue
from geventhttpclient import HTTPClient

from benchmarks.load import Outcome, Parcel
from edge_client.address import Address
from frequency import Profile
from protos import overtone_pb2 as pb
from protos import overtone_pb2_grpc as stubs

PATIENCE = 30.0
CHUNK = 16 * 1024
STAGES: dict[int, str] = {pb.STAGE_LOW: "low", pb.STAGE_HIGH: "high", pb.STAGE_BROWNOUT: "brownout"}
CHANNEL = (
    ("grpc.max_receive_message_length", 8 << 20),
    # A connection a device, as in the field.
    ("grpc.use_local_subchannel_pool", 1),
)


class ExchangeError(Exception):
    """A picture without an answer; `fatal` if the connection is of no more use."""

    def __init__(self, message: str, *, fatal: bool = False) -> None:
        super().__init__(message)
        self.fatal = fatal


@dataclass(frozen=True)
class Wishes:
    """What all devices of a run want."""

    at_once: bool = False
    operating_point: str = ""
    token: str = ""


@dataclass(frozen=True)
class Served:
    """What a server says of its model."""

    profile: Profile
    classes: tuple[str, ...]

    @classmethod
    def read(cls, profile: Profile, card: str | bytes) -> Self:
        """From a profile and the card's JSON."""
        return cls(profile, tuple(json.loads(card)["classes"]))


class Exchange(Protocol):
    """A device's connection."""

    def send(self, parcel: Parcel) -> Outcome:
        """One picture, high too if the server wants it."""

    def close(self) -> None:
        """Hang up."""


class GrpcExchange:
    """A session: one stream, one picture at a time on it.

    Raises:
        ExchangeError: no welcome came.
    """

    def __init__(self, address: Address, wishes: Wishes) -> None:
        self._wishes = wishes
        self._channel = _channel(address)
        self._outbox: Any = Queue()
        self._inbox: Any = Queue()
        self._number = 0
        self._call = stubs.CascadeStub(self._channel).Session(  # type: ignore[no-untyped-call]
            iter(self._outbox.get, None), metadata=_metadata(wishes)
        )
        gevent.spawn(self._listen)
        options = pb.Options(operating_point=wishes.operating_point)
        self._outbox.put(pb.Upstream(hello=pb.Hello(options=options)))
        try:
            self._hear("welcome")
        except ExchangeError:
            self.close()
            raise

    @staticmethod
    def describe(address: Address, wishes: Wishes) -> Served:
        """Ask for the model."""
        with _channel(address) as channel:
            stub = stubs.CascadeStub(channel)  # type: ignore[no-untyped-call]
            request = pb.DescribeModelRequest()
            try:
                model = stub.DescribeModel(request, metadata=_metadata(wishes), timeout=PATIENCE)
            except grpc.RpcError as error:
                raise ExchangeError(_reason(error), fatal=True) from error
        return Served.read(Profile.unpack(model.profile), model.card)

    def send(self, parcel: Parcel) -> Outcome:
        """One picture."""
        self._number += 1
        sent = self._put(parcel, low=True, high=self._wishes.at_once)
        while True:
            message = self._hear("answer", "need_high")
            if message.WhichOneof("message") == "answer":
                answer = message.answer
                return Outcome(STAGES[answer.stage], answer.top[0].index, sent)
            sent += self._put(parcel, low=message.need_high.send_both, high=True)

    def close(self) -> None:
        """End the session and the connection."""
        self._outbox.put(pb.Upstream(end=pb.End()))
        self._outbox.put(None)
        self._call.cancel()
        self._channel.close()

    def _put(self, parcel: Parcel, *, low: bool, high: bool) -> int:
        payloads = parcel.encoded
        if low:
            image = pb.Image(id=self._number, low=payloads.low, high_follows=high)
            self._outbox.put(pb.Upstream(image=image))
        if high:
            for chunk in _chunks(self._number, payloads.high):
                self._outbox.put(pb.Upstream(high=chunk))
        return low * len(payloads.low) + high * len(payloads.high)

    def _hear(self, *kinds: str) -> Any:
        """The next message about the present picture."""
        while True:
            try:
                message = self._inbox.get(timeout=PATIENCE)
            except Empty:
                raise ExchangeError(f"nothing within {PATIENCE:g} s", fatal=True) from None
            if isinstance(message, str):
                raise ExchangeError(message, fatal=True)
            kind = message.WhichOneof("message")
            if kind in kinds and getattr(getattr(message, kind), "id", self._number) == self._number:
                return message
            if kind == "error" and message.error.id == self._number:
                raise ExchangeError(message.error.message)

    def _listen(self) -> None:
        try:
            for message in self._call:
                self._inbox.put(message)
            self._inbox.put("the server closed the session")
        except grpc.RpcError as error:
            self._inbox.put(_reason(error))


class RestExchange:
    """Requests on one kept-alive connection."""

    def __init__(self, address: Address, wishes: Wishes) -> None:
        self._wishes = wishes
        self._http = HTTPClient(
            address.host,
            address.port,
            ssl=address.secure,
            concurrency=1,
            connection_timeout=PATIENCE,
            network_timeout=PATIENCE,
            headers={"authorization": f"Bearer {wishes.token}"} if wishes.token else {},
        )
        named = {"operating_point": wishes.operating_point} if wishes.operating_point else {}
        self._query = f"?{urlencode(named)}" if named else ""

    @staticmethod
    def describe(address: Address, wishes: Wishes) -> Served:
        """Ask for the model."""
        exchange = RestExchange(address, wishes)
        try:
            profile = exchange._ask("GET", "/v1/profile")[1]
            return Served.read(Profile.from_json(profile), exchange._ask("GET", "/v1/model")[1])
        finally:
            exchange.close()

    def send(self, parcel: Parcel) -> Outcome:
        """One picture."""
        low, high = parcel.encoded.low, parcel.encoded.high
        if self._wishes.at_once:
            return self._outcome(self._post("/v1/classify", low + high)[1], len(low) + len(high))
        status, body = self._post("/v1/images", low)
        if status == 200:
            return self._outcome(body, len(low))
        token = json.loads(body)["token"]
        status, body = self._post(f"/v1/images/{token}/high", high, lost_is_fine=True)
        if status == 200:
            return self._outcome(body, len(low) + len(high))
        return self._outcome(self._post("/v1/classify", low + high)[1], 2 * (len(low) + len(high)))

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _post(self, path: str, body: bytes, *, lost_is_fine: bool = False) -> tuple[int, bytes]:
        return self._ask("POST", path + self._query, body, {410} if lost_is_fine else frozenset())

    def _ask(self, method: str, path: str, body: bytes = b"", fine: Any = frozenset()) -> tuple[int, bytes]:
        headers = {"content-type": "application/vnd.overtone"} if body else {}
        try:
            response = self._http.request(method, path, body=body, headers=headers)
            status, content = int(response.status_code), bytes(response.read())
        except (OSError, ValueError) as error:
            raise ExchangeError(f"{type(error).__name__}: {error}", fatal=True) from error
        if status not in {200, 202} | fine:
            raise ExchangeError(_told(content) or f"HTTP {status}")
        return status, content

    def _outcome(self, body: bytes, sent: int) -> Outcome:
        answer = json.loads(body)
        return Outcome(answer["stage"], answer["index"], sent)


def _channel(address: Address) -> Any:
    if address.secure:
        return grpc.secure_channel(address.target, grpc.ssl_channel_credentials(), options=CHANNEL)
    return grpc.insecure_channel(address.target, options=CHANNEL)


def _metadata(wishes: Wishes) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {wishes.token}"),) if wishes.token else ()


def _chunks(number: int, high: bytes) -> Iterator[pb.HighChunk]:
    for offset in range(0, max(1, len(high)), CHUNK):
        last = offset + CHUNK >= len(high)
        yield pb.HighChunk(id=number, offset=offset, data=high[offset : offset + CHUNK], last=last)


def _reason(error: Any) -> str:
    return f"{error.code().name}: {error.details()}"


def _told(body: bytes) -> str:
    with suppress(ValueError, LookupError, TypeError):
        error = json.loads(body)["error"]
        return f"{error['code']}: {error['message']}"
    return ""
