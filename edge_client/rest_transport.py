"""The REST transport: a request for the first layers, and another when the server asks for more."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from overtone.edge_client import errors
from overtone.edge_client.address import Tls
from overtone.edge_client.conversation import Conversation
from overtone.edge_client.link_estimator import LinkEstimator
from overtone.edge_client.profile_cache import ProfileCache
from overtone.edge_client.rest_answer import layer_request, raw_answer
from overtone.edge_client.retry import FIRST_PAUSES, PAUSES
from overtone.edge_client.transport import ClientConfig, Labels, RawAnswer, Upload
from overtone.edge_client.trust import hint, problem_of
from overtone.frequency import Profile, ProfileError, join, unpack_part

PAYLOADS = "application/vnd.overtone"
PART = "application/vnd.overtone.profile"
# The seconds for which an idle connection is kept. They are many, so that an occasional image need not pay for a
# handshake, but fewer than the server's 75, so that no request meets a connection that is just being closed.
KEEP = 60.0
# For errors of a proxy, which are not in the server's JSON.
CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    409: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "UNAVAILABLE",
}
# Those that come from a proxy without a server, or from a server that is not ready.
AWAY = frozenset({502, 503, 504})
# Statuses that say that the server no longer has the layers that came before.
LOST = frozenset({404, 410})


class RestTransport:
    """The transport that speaks the server's REST API, `/v1`."""

    credits = 8
    exit_share = None  # it does not come with anything else

    def __init__(self, config: ClientConfig, link: LinkEstimator) -> None:
        self._config = config
        self._link = link
        options: dict[str, int | str] = {"top": config.top}
        if config.operating_point:
            options["operating_point"] = config.operating_point
        self._model: dict[str, int | str] = {"model": config.model} if config.model else {}
        self._options = options | self._model
        self._doubtful = False  # whether the last image found no server
        try:
            self._http = httpx.AsyncClient(
                base_url=str(config.address),
                verify=(config.tls or Tls()).context() if config.address.secure else False,
                timeout=None,  # the caller's deadline holds for everything
                limits=httpx.Limits(max_connections=self.credits, keepalive_expiry=KEEP),
            )
            # httpx's default headers are some hundred bytes, which a thin link need not carry with every request.
            self._http.headers.clear()
            if config.token:
                self._http.headers["authorization"] = f"Bearer {config.token}"
        except httpx.InvalidURL as error:
            raise errors.UsageError(f"cannot use the address {config.address}: {error}") from error

    async def profile(self, known: ProfileCache, *, fresh: bool = False) -> Profile:
        """The server's profile; the ids of known ones are offered as entity tags."""
        tags = "" if fresh else ", ".join(f'"{identity.hex()}"' for identity in known.ids())
        headers = {"if-none-match": tags} if tags else {}
        response = await self._get("/v1/profile", headers, params=self._part(0, self._config.layers))
        if response.status_code == httpx.codes.NOT_MODIFIED:
            cached = known.get(_identity(response.headers.get("etag", "")))
            return cached if cached is not None else await self.profile(known, fresh=True)
        return _profile(response)

    async def further(self, profile: Profile, layers: int) -> Profile:
        """A part of a profile with the tables of further layers."""
        return _profile(
            await self._get("/v1/profile", {}, params=self._part(profile.layers, layers)), profile
        )

    async def whole(self) -> Profile:
        """The whole profile."""
        return _profile(await self._get("/v1/profile", {}, params=self._model))

    async def card(self) -> dict[str, Any]:
        """The card."""
        return _json(_good(await self._get("/v1/model", {}, params=self._model)))

    async def labels(self) -> Labels:
        """The labels."""
        return Labels.read(_json(_good(await self._get("/v1/labels", {}, params=self._model))))

    async def send(self, upload: Upload) -> RawAnswer:
        """Send an image; if the connection is lost, send all layers once more, together."""
        try:
            answer = await self._attempt(upload)
        except errors.Unavailable:
            self._doubtful = True
            raise
        self._doubtful = False
        self._config.check(answer.model)
        return answer

    async def _attempt(self, upload: Upload) -> RawAnswer:
        conversation = Conversation(upload, self._link)
        try:
            if self._doubtful:
                await self._probe()
            return await self._converse(conversation)
        except httpx.TransportError:
            pass
        try:
            await self._probe()
            return await self._again(conversation, upload.together)
        except httpx.TransportError as error:
            raise errors.ConnectionLost(
                f"the connection to {self._config.address} broke twice ({error!r})"
            ) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _converse(self, conversation: Conversation) -> RawAnswer:
        upload, count = conversation.upload, conversation.count
        wanted, token = upload.plan.together, ""
        await upload.need(wanted)
        while True:
            path = conversation.further(token) if token else conversation.path(wanted)
            response = await self._post(path, upload, conversation.send(wanted))
            if response.status_code in LOST and token:
                return await self._again(conversation, wanted)
            if response.status_code != httpx.codes.ACCEPTED:
                return conversation.answered(_raw_answer(response, upload))
            more = layer_request(_json(response), wanted, count)
            conversation.asked(more.layers)
            await upload.need_blocks(more.blocks, more.layers, conversation.sent)
            wanted, token = more.layers, more.token

    async def _again(self, conversation: Conversation, layers: int) -> RawAnswer:
        """Send the first `layers` layers again; if the server asks for more, send all."""
        upload, count = conversation.upload, conversation.count
        await upload.need(layers)
        response = await self._post(conversation.path(layers), upload, conversation.first(layers))
        if response.status_code == httpx.codes.ACCEPTED and layers < count:
            more = layer_request(_json(response), layers, count)
            await upload.need_blocks(more.blocks, count, layers)
            response = await self._post(conversation.path(count), upload, conversation.first(count))
        return _raw_answer(response, upload)

    async def _probe(self) -> None:
        """Find out with a few bytes whether a server is there, because payloads are expensive.

        Raises:
            Unavailable: none is, or it is not ready.
        """
        response = await self._get("/readyz", {}, PAUSES)
        if response.status_code in AWAY:
            raise failure(response)

    @property
    def _open(self) -> httpx.AsyncClient:
        if self._http.is_closed:
            raise errors.ConnectionLost("the client was closed")
        return self._http

    async def _post(self, path: str, upload: Upload, payloads: Sequence[bytes]) -> httpx.Response:
        size = sum(map(len, payloads))
        upload.bytes_sent += size
        headers = {"content-type": PAYLOADS}
        try:
            params = self._options if path.endswith("/layers") else self._options | _size(upload)
            return await self._open.post(path, params=params, content=join(payloads), headers=headers)
        except httpx.ConnectError:
            upload.bytes_sent -= size
            raise
        except httpx.DecodingError as error:
            raise errors.ProtocolError(f"the server's answer cannot be decoded ({error})") from error

    def _part(self, after: int, layers: int) -> dict[str, int | str]:
        """The query parameters for a part of the profile."""
        quality = self._config.quality
        part: dict[str, int | str] = {"after": after, "layers": layers, **self._model}
        return part if quality is None else part | {"quality": quality}

    async def _get(
        self,
        path: str,
        headers: Mapping[str, str],
        pauses: Sequence[float] = FIRST_PAUSES,
        params: Mapping[str, int | str] | None = None,
    ) -> httpx.Response:
        for pause in pauses:
            await asyncio.sleep(pause)
            try:
                sent = {"accept-encoding": "gzip", **headers}
                return await self._open.get(path, headers=sent, params=params)
            except httpx.TransportError as error:
                if trust := problem_of(str(error)):
                    raise trust from error
                problem = error
        what = f"{self._config.address} cannot be reached ({problem!r})"
        hinted = hint(self._config, what)
        # A connection that broke was there, so something is at the address; but waiting does not help a client that
        # should have shown a certificate.
        never = hinted or isinstance(problem, httpx.ConnectError)
        kind = errors.Unreachable if never else errors.Unavailable
        raise kind(what + hinted) from problem


def failure(response: httpx.Response) -> errors.OvertoneError:
    """The error a response stands for."""
    if response.status_code == httpx.codes.UPGRADE_REQUIRED:
        return errors.WrongVersion()
    try:
        error = response.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, LookupError, TypeError):
        message = f"HTTP {response.status_code}"
        code = CODES.get(response.status_code, "INTERNAL" if response.is_server_error else "")
        if not code:
            return errors.ProtocolError(f"the server says: {message}")
    pause = response.headers.get("retry-after", "")
    return errors.from_code(code, message, float(pause) if pause.isascii() and pause.isdecimal() else None)


def _good(response: httpx.Response) -> httpx.Response:
    if response.status_code != httpx.codes.OK:
        raise failure(response)
    return response


def _profile(response: httpx.Response, before: Profile | None = None) -> Profile:
    """The profile, or the part of it that was asked for; the whole comes from a server of an earlier version."""
    content = _good(response).content
    try:
        if response.headers.get("content-type") == PART:
            return unpack_part(content, before)
        return Profile.from_json(content)
    except ProfileError as error:
        raise errors.ProtocolError(f"the server's profile cannot be used ({error})") from error


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise errors.ProtocolError("the server's answer is not a JSON object")
    return body


def _raw_answer(response: httpx.Response, upload: Upload) -> RawAnswer:
    return raw_answer(_json(_good(response)), upload)


def _size(upload: Upload) -> dict[str, int | str]:
    """The query parameters with the size of a picture for a detector."""
    return {} if upload.picture is None else dict(zip(("width", "height"), upload.picture, strict=True))


def _identity(etag: str) -> bytes:
    try:
        return bytes.fromhex(etag.removeprefix("W/").strip('"'))
    except ValueError:
        return b""
