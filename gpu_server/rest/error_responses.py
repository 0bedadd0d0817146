"""Exception handlers that turn errors into HTTP responses."""

import asyncio
import contextlib
import random
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from overtone.gpu_server import errors
from overtone.gpu_server.arrival import Kind
from overtone.gpu_server.open_inference.rest import is_open_inference
from overtone.gpu_server.rest import schemas
from overtone.gpu_server.service import Service
from overtone.gpu_server.settings import MIB

FACE = "rest"


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


async def service_error(request: Request, error: Exception) -> Response:
    """The response of a `ServiceError`."""
    assert isinstance(error, errors.ServiceError)
    if isinstance(error, errors.OverShare):
        # Delayed, so that retrying at once gains nothing; at random, so that clients do not retry all at once.
        await asyncio.sleep(request.app.state.service.settings.penalty * random.uniform(0.5, 1.5))
    headers = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after)))
    if error.http == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if error.http == HTTPStatus.UPGRADE_REQUIRED:  # must name the protocol to upgrade to (RFC 9110, 15.5.22)
        headers["upgrade"] = "overtone/2"
    kind: type[JSONResponse] = JSONResponse
    if request.method == "POST" and not getattr(request.state, "read", False):
        kind, headers["connection"] = _EarlyResponse, "close"
    return kind(_failure(request, error.code.name, error.message), error.http, headers)


def _failure(request: Request, code: str, message: str) -> dict[str, Any]:
    """The body of an error; the Open Inference Protocol has a form of its own."""
    if is_open_inference(request.url.path):
        return {"error": message}
    return schemas.failure(code, message).model_dump()


async def http_error(request: Request, error: Exception) -> Response:
    """The response where there is no such route or method."""
    assert isinstance(error, HTTPException)
    code = "NOT_FOUND" if error.status_code == HTTPStatus.NOT_FOUND else "INVALID_ARGUMENT"
    _never_reached_a_route(request, code)
    body = _failure(request, code, str(error.detail))
    return JSONResponse(body, error.status_code, error.headers)


async def invalid(request: Request, error: Exception) -> Response:
    """The response where FastAPI finds a parameter wrong."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    _never_reached_a_route(request, errors.BadRequest.code.name)
    where, what = first["loc"][-1:], first["msg"].removeprefix("Value error, ")
    return await service_error(request, errors.BadRequest(": ".join(map(str, (*where, what)))))


def _never_reached_a_route(request: Request, code: str) -> None:
    """Count a request that was refused before it reached a route, where requests are counted."""
    service: Service = request.app.state.service
    service.arrive(FACE, Kind.CALL).end(code)
