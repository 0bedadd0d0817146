"""The REST API: the same core over HTTP, for devices and people without gRPC."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from overtone.gpu_server import errors, schemas
from overtone.gpu_server.answer import Answer, Options
from overtone.gpu_server.core import Core, is_image
from overtone.gpu_server.service import Service
from overtone.gpu_server.settings import MIB
from overtone.gpu_server.state import PendingImage

T = TypeVar("T")

PAYLOADS = "application/vnd.overtone"
IMAGES = frozenset({"image/jpeg", "image/png", "image/webp"})
# Sent by clients that name no type of their own; then the first bytes decide.
ANY = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded", "*/*"})
FACE = "rest"


async def options(operating_point: str = "", top: Annotated[int, Query(ge=1)] = 1) -> Options:
    """Query parameters of every route that answers."""
    return Options(operating_point, top)


RequestOptions = Annotated[Options, Depends(options)]


def create_app(service: Service) -> FastAPI:
    """The application of one service."""
    app = FastAPI(
        title="Overtone",
        description="Image classification in two steps: the low payload first, the high one on request.",
        version="1",
        exception_handlers={
            errors.ServiceError: _service_error,
            HTTPException: _http_error,
            RequestValidationError: _invalid,
        },
        responses={"default": {"model": schemas.Failure}},
    )
    app.state.service = service
    _add_images(app, service)
    _add_model(app, service)
    _add_operations(app, service)
    return app


class _EarlyResponse(JSONResponse):
    """A response to a request whose body was not read to its end.

    Closing the connection with bytes unread resets it, and the client would never see the response. So the rest
    is read and thrown away, up to a point, before the response is declared complete.
    """

    most_bytes = 16 * MIB
    most_seconds = 5.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.most_seconds):
                await self._discard(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _discard(self, receive: Receive) -> None:
        left = self.most_bytes
        while left > 0:
            message = await receive()
            left -= len(message.get("body", b""))
            if not message.get("more_body", False):  # a disconnect has no more either
                return


def _add_images(app: FastAPI, service: Service) -> None:
    limit = service.settings.max_payload_bytes

    @app.post(
        "/v1/images",
        response_model=schemas.Answer,
        responses={202: {"model": schemas.NeedHigh}},
        openapi_extra=_binary(PAYLOADS),
    )
    async def images(request: Request, chosen: RequestOptions) -> Response:
        """The low payload of an image: an answer, or a token with which to send the high payload."""
        with service.track_request(FACE):
            who, core = owner(service, request), service.core
            async with received(request, limit) as low:
                result = await while_connected(request, core.low(low, chosen))
            if isinstance(result, Answer):
                return _answer(core, result)
            token = service.store.issue(who, PendingImage(low, result))
            body = schemas.need_high(token, result, service.store.ttl)
            location = {"location": f"/v1/images/{token}/high"}
            return JSONResponse(body.model_dump(), HTTPStatus.ACCEPTED, location)

    @app.post("/v1/images/{token}/high", response_model=schemas.Answer, openapi_extra=_binary(PAYLOADS))
    async def high(token: str, request: Request, chosen: RequestOptions) -> Response:
        """The high payload of the image whose low payload returned this token; 410 means: send both."""
        with service.track_request(FACE):
            key, core = (owner(service, request), token), service.core
            service.store.check(key)  # before the body is read, which may be large
            async with received(request, limit) as payload:
                pending = service.find(key, len(payload))
                work = core.high(pending.low, payload, chosen, pending.need)
                answer = await while_connected(request, work)
            service.store.drop(key)
            return _answer(core, answer)

    @app.post("/v1/classify", response_model=schemas.Answer, openapi_extra=_binary(PAYLOADS, *sorted(IMAGES)))
    async def classify(request: Request, chosen: RequestOptions, cropped: bool = False) -> Response:
        """A JPEG, PNG or WebP; or both payloads in one piece, low first, as application/vnd.overtone.

        Of an image the centre is used: a square whose side is seven eighths of the shorter side, or all of the
        shorter side if the sender has `cropped` the image already.
        """
        with service.track_request(FACE):
            owner(service, request)
            core = service.core
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind not in {PAYLOADS, *IMAGES, *ANY}:
                raise errors.UnknownMedia(
                    f"cannot read {kind}; send {', '.join(sorted(IMAGES))} or {PAYLOADS}"
                )
            payloads = kind == PAYLOADS
            most = 2 * limit if payloads else service.settings.max_image_bytes
            async with received(request, most) as body:
                joined = payloads or (kind in ANY and not is_image(body))
                work = core.joined(body, chosen) if joined else core.image(body, chosen, cropped=cropped)
                return _answer(core, await while_connected(request, work))


def _add_model(app: FastAPI, service: Service) -> None:
    @app.get("/v1/model")
    async def model(request: Request) -> Response:
        """The card of the served model, and the qualities for which its operating points are certified."""
        owner(service, request)
        return Response(service.core.description.card, media_type="application/json")

    @app.get("/v1/profile")
    async def profile(request: Request) -> Response:
        """What a device needs to encode for the model: canonical JSON, whose ETag is the profile's id."""
        owner(service, request)
        described = service.core.description
        headers = {"etag": f'"{described.profile_id.hex()}"', "cache-control": "no-cache"}
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(described.profile, media_type="application/json", headers=headers)


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/livez", response_class=PlainTextResponse)
    async def livez() -> str:
        """Whether the process answers."""
        return "ok"

    @app.get("/readyz", response_class=PlainTextResponse)
    async def readyz() -> Response:
        """Whether the server should be sent requests; the body says why or why not."""
        status = HTTPStatus.OK if service.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return PlainTextResponse(service.status, status)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Metrics for Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def owner(service: Service, request: Request) -> str:
    """The name of the client; only it may use its tokens.

    Raises:
        Unauthenticated: it is not let in.
    """
    address = request.client.host if request.client else ""
    return service.admit(request.headers.get("authorization"), address)


@asynccontextmanager
async def received(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body, refused as soon as it is known to exceed `limit` bytes; counted as held while inside.

    Raises:
        TooLarge: it exceeds the limit.
        TooSlow: it did not arrive in time.
        Overloaded: too many bodies are held.
        ClientDisconnected: the client disconnected before the end.
    """
    service: Service = request.app.state.service
    body = bytearray()
    try:
        await _read(request, limit, body, service)
        request.state.read = True
        yield bytes(body)
    finally:
        service.body_budget.release(len(body))


async def _read(request: Request, limit: int, body: bytearray, service: Service) -> None:
    too_large = errors.TooLarge(f"the body is above {limit} bytes")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise too_large
    try:
        async with asyncio.timeout(service.settings.body_timeout):
            async for chunk in request.stream():
                if len(body) + len(chunk) > limit:
                    raise too_large
                service.body_budget.acquire(len(chunk))
                body += chunk
    except ClientDisconnect:
        raise errors.ClientDisconnected("the client disconnected") from None
    except TimeoutError:
        raise errors.TooSlow(f"the body did not arrive within {service.settings.body_timeout:g} s") from None


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled if the client disconnects; the body must have been read.

    Raises:
        ClientDisconnected: it did.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise errors.ClientDisconnected("the client disconnected")
    finally:
        for future in (task, gone):
            future.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _answer(core: Core, answer: Answer) -> Response:
    return JSONResponse(schemas.answer(answer, core.card.name).model_dump())


def _binary(*kinds: str) -> dict[str, Any]:
    """For the documentation: a body of bytes, of one of these types."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {"requestBody": {"required": True, "content": content}}


async def _service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.ServiceError)
    headers = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after)))
    if error.http == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    kind: type[JSONResponse] = JSONResponse
    if request.method == "POST" and not getattr(request.state, "read", False):
        kind, headers["connection"] = _EarlyResponse, "close"
    return kind(schemas.failure(error.code.name, error.message).model_dump(), error.http, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "NOT_FOUND" if error.status_code == HTTPStatus.NOT_FOUND else "INVALID_ARGUMENT"
    body = schemas.failure(code, str(error.detail))
    return JSONResponse(body.model_dump(), error.status_code, error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return await _service_error(request, errors.BadRequest(f"{first['loc'][-1]}: {first['msg']}"))
