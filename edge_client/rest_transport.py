"""The REST transport: one request for low and, if the server asks for high, another, on kept-alive connections."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx

from overtone.edge_client import errors
from overtone.edge_client.address import Tls
from overtone.edge_client.link_estimator import LinkEstimator
from overtone.edge_client.policy import Observation
from overtone.edge_client.profile_cache import ProfileCache
from overtone.edge_client.retry import FIRST_PAUSES, PAUSES
from overtone.edge_client.stage import STAGES
from overtone.edge_client.transport import ClientConfig, RawAnswer, Upload
from overtone.frequency import Profile, ProfileError

PAYLOADS = "application/vnd.overtone"
# The seconds for which an idle connection is kept. They are many, so that an occasional image need not pay for a
# handshake, but fewer than the server's 75, so that no request meets a connection that is just being closed.
KEEP = 60.0
# For errors of a proxy, which are not in the server's JSON.
CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
# Statuses that say that the server no longer has the low payload.
LOST = frozenset({404, 410})


class RestTransport:
    """Talks to `/v1`."""

    credits = 8
    known_card = None  # it does not come with anything else

    def __init__(self, config: ClientConfig, link: LinkEstimator) -> None:
        self._config = config
        self._link = link
        options: dict[str, str | int] = {"top": config.top}
        if config.operating_point:
            options["operating_point"] = config.operating_point
        self._options = options
        try:
            self._http = httpx.AsyncClient(
                base_url=str(config.address),
                headers={"authorization": f"Bearer {config.token}"} if config.token else {},
                verify=(config.tls or Tls()).context() if config.address.secure else False,
                timeout=None,  # the caller's deadline holds for everything
                limits=httpx.Limits(max_connections=self.credits, keepalive_expiry=KEEP),
            )
        except httpx.InvalidURL as error:
            raise errors.UsageError(f"cannot use the address {config.address}: {error}") from error

    async def profile(self, known: ProfileCache, *, fresh: bool = False) -> Profile:
        """The server's profile; the ids of known ones are offered as entity tags."""
        tags = "" if fresh else ", ".join(f'"{identity.hex()}"' for identity in known.ids())
        response = await self._get("/v1/profile", {"if-none-match": tags} if tags else {})
        if response.status_code == httpx.codes.NOT_MODIFIED:
            cached = known.get(_identity(response.headers.get("etag", "")))
            return cached if cached is not None else await self.profile(known, fresh=True)
        try:
            return Profile.from_json(_good(response).content)
        except ProfileError as error:
            raise errors.ProtocolError(f"the server's profile cannot be used ({error})") from error

    async def card(self) -> dict[str, Any]:
        """The card."""
        return _json(_good(await self._get("/v1/model", {})))

    async def classify(self, upload: Upload) -> RawAnswer:
        """Send an image; if the connection is lost, send low and high once more, together."""
        try:
            return await (self._at_once(upload) if upload.plan == "at_once" else self._on_demand(upload))
        except httpx.TransportError:
            pass
        try:
            # Payloads are expensive and sent at most twice, so a few bytes find out first whether a server is there.
            await self._get("/livez", {}, PAUSES)
            return await self._both(upload)
        except httpx.TransportError as error:
            raise errors.ConnectionLost(
                f"the connection to {self._config.address} broke twice ({error!r})"
            ) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _at_once(self, upload: Upload) -> RawAnswer:
        payloads = upload.encoded
        low_end = self._link.sent(len(payloads.low), _now())
        high_end = self._link.sent(len(payloads.high), _now())
        return _with_observation(await self._both(upload), upload, low_end, high_end)

    async def _on_demand(self, upload: Upload) -> RawAnswer:
        low_end = self._link.sent(len(upload.encoded.low), _now())
        first = await self._post("/v1/images", upload, upload.encoded.low, "application/octet-stream")
        asked = _now()
        self._link.delivered(low_end)
        if first.status_code != httpx.codes.ACCEPTED:
            return _with_observation(_raw_answer(first), upload, low_end, low_end)
        token = _json(first).get("token")
        if not isinstance(token, str) or not token.replace("-", "").replace("_", "").isalnum():
            raise errors.ProtocolError("the server asks for high, but gave no token for it")
        high = upload.encoded.high
        high_end = self._link.sent(len(high), asked)
        second = await self._post(f"/v1/images/{token}/high", upload, high, "application/octet-stream")
        if second.status_code in LOST:
            return await self._both(upload)
        return _with_observation(_raw_answer(second), upload, low_end, high_end, asked)

    async def _both(self, upload: Upload) -> RawAnswer:
        payloads = upload.encoded.low + upload.encoded.high
        return _raw_answer(await self._post("/v1/classify", upload, payloads, PAYLOADS))

    @property
    def _open(self) -> httpx.AsyncClient:
        if self._http.is_closed:
            raise errors.ConnectionLost("the client was closed")
        return self._http

    async def _post(self, path: str, upload: Upload, body: bytes, kind: str) -> httpx.Response:
        upload.bytes_sent += len(body)
        headers = {"content-type": kind}
        try:
            return await self._open.post(path, params=self._options, content=body, headers=headers)
        except httpx.ConnectError:
            upload.bytes_sent -= len(body)
            raise
        except httpx.DecodingError as error:
            raise errors.ProtocolError(f"the server's answer cannot be decoded ({error})") from error

    async def _get(
        self, path: str, headers: Mapping[str, str], pauses: Sequence[float] = FIRST_PAUSES
    ) -> httpx.Response:
        for pause in pauses:
            await asyncio.sleep(pause)
            try:
                return await self._open.get(path, headers=headers)
            except httpx.TransportError as error:
                problem = error
        raise errors.Unavailable(f"{self._config.address} cannot be reached ({problem!r})") from problem


def failure(response: httpx.Response) -> errors.OvertoneError:
    """The error a response stands for."""
    try:
        error = response.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, LookupError, TypeError):
        code = CODES.get(response.status_code, "INTERNAL" if response.is_server_error else "UNIMPLEMENTED")
        message = f"HTTP {response.status_code}"
    pause = response.headers.get("retry-after", "")
    return errors.from_code(code, message, float(pause) if pause.isascii() and pause.isdecimal() else None)


def _good(response: httpx.Response) -> httpx.Response:
    if response.status_code != httpx.codes.OK:
        raise failure(response)
    return response


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise errors.ProtocolError("the server's answer is not a JSON object")
    return body


def _raw_answer(response: httpx.Response) -> RawAnswer:
    body = _json(_good(response))
    try:
        top = tuple((int(score["index"]), float(score["probability"])) for score in body["top"])
        timings, stage = body["timings"], body["stage"]
        if not top or stage not in STAGES:
            raise ValueError(json.dumps(stage))
        queue, compute = float(timings["queue_ms"]), float(timings["compute_ms"])
        return RawAnswer(top, stage, bool(body["confident"]), queue, compute, str(body["model"]))
    except (ValueError, LookupError, TypeError) as error:
        raise errors.ProtocolError(f"the server's answer is incomplete ({error!r})") from error


def _with_observation(
    answer: RawAnswer, upload: Upload, low_end: int, high_end: int, asked: float | None = None
) -> RawAnswer:
    """The answer with what can be learned about the link; `asked` is when the server asked for high, if it did."""
    now, payloads = _now(), upload.encoded
    unasked = upload.plan == "at_once"
    observation = Observation(
        plan=upload.plan,
        high=len(payloads.high),
        sent=len(payloads.high) if unasked or asked else 0,
        low_end=low_end,
        high_end=high_end,
        first=asked or now,
        last=now,
        server=(answer.queue_ms + answer.compute_ms) / 1e3,
        stage=answer.stage,
        unsent=len(payloads.high) if asked else None,
    )
    return replace(answer, observation=observation)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _identity(etag: str) -> bytes:
    try:
        return bytes.fromhex(etag.removeprefix("W/").strip('"'))
    except ValueError:
        return b""
