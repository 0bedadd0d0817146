"""HTTP requests with further layers of an image are forwarded to the face that has its first layers.

All faces share a port, so a later request of a device may reach another face than the first one. The token of an
unfinished image begins with the number of the face that issued it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import quote, unquote

import httpx
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from overtone.gpu_server.arrival import Kind
from overtone.gpu_server.errors import ClientDisconnected, ServiceError, StateLost, TooSlow
from overtone.gpu_server.rest import schemas
from overtone.gpu_server.service import Service
from overtone.gpu_server.workers.face import Face

PATH = "/v1/images/"
# Headers of a forwarded request: the address of the client, and the name in its certificate. They are believed only on
# the socket between faces.
CLIENT, CERTIFICATE = b"x-overtone-client", b"x-overtone-certificate"
# Headers that are about the connection and not the request, or would be believed from this machine.
DROPPED = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"x-forwarded-for", b"x-forwarded-proto"}
    | {CLIENT, CERTIFICATE}
)


class ForwardedRequests:
    """ASGI middleware on the socket between faces: to `app`, requests look as if their clients had connected here."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call `app` with the client's address and certificate in place of the other face's."""
        given = dict(scope["headers"])
        certificate = unquote(given[CERTIFICATE].decode("ascii")) if CERTIFICATE in given else None
        state = {**scope.get("state", {}), "certificate": certificate}
        client = given.get(CLIENT, b"").decode("latin-1"), 0
        await self._app({**scope, "client": client, "state": state}, receive, send)


class RequestForwarding:
    """ASGI middleware on the shared port: passes requests on that belong to another face, all others to `app`."""

    def __init__(self, app: ASGIApp, face: Face, service: Service) -> None:
        self._app = app
        self._face = face
        self._service = service
        self._body_timeout = service.settings.body_timeout
        self._timeout = service.settings.deadline + self._body_timeout
        self._peers: dict[int, httpx.AsyncClient] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call `app`, or forward the request."""
        peer = self._owner(scope["path"]) if scope["type"] == "http" else None
        if peer is None:
            await self._app(scope, receive, send)
        else:
            with self._service.unfinished():
                await self._forward(peer, scope, receive, send)

    async def close(self) -> None:
        """Close the connections to other faces."""
        for client in self._peers.values():
            await client.aclose()

    def _owner(self, path: str) -> int | None:
        """The number of the face that issued the token in this path; None if it is this face, or there is no token."""
        number = path.removeprefix(PATH).partition("-")[0] if path.startswith(PATH) else ""
        if not (number.isascii() and number.isdigit()) or len(number) > 4:
            return None
        found = int(number)
        return found if found < self._face.count and found != self._face.number else None

    async def _forward(self, peer: int, scope: Scope, receive: Receive, send: Send) -> None:
        request = _request(scope, _body(receive, self._body_timeout))
        try:
            response = await self._client(peer).send(request, stream=True)
        except httpx.ConnectError:
            # The other face has ended, and its images with it. It cannot count the request, so this one does.
            self._service.arrive("rest", Kind.CALL).end(StateLost.code.name)
            await _refuse(scope, receive, send, _lost())
        except httpx.TransportError:
            await _refuse(scope, receive, send, _lost())
        except TooSlow as error:
            await _refuse(scope, receive, send, error)
        except ClientDisconnected:
            pass  # nobody waits for a response; the other face sees the end of its connection
        else:
            await _return(response, send)

    def _client(self, peer: int) -> httpx.AsyncClient:
        if peer not in self._peers:
            # As many connections as there are requests, which are as many as there are connections of clients.
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=16)
            transport = httpx.AsyncHTTPTransport(uds=str(self._face.rest_socket(peer)), limits=limits)
            self._peers[peer] = httpx.AsyncClient(transport=transport, timeout=self._timeout)
        return self._peers[peer]


async def _body(receive: Receive, seconds: float) -> AsyncIterator[bytes]:
    """The chunks of a request's body, as they arrive.

    Raises:
        ClientDisconnected: the client disconnects before the end.
        TooSlow: the body does not arrive in time.
    """
    limit, more = asyncio.get_running_loop().time() + seconds, True
    while more:
        try:
            async with asyncio.timeout_at(limit):
                message = await receive()
        except TimeoutError:
            raise TooSlow(f"the body did not arrive within {seconds:g} s") from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnected("the client disconnected")
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _request(scope: Scope, body: AsyncIterator[bytes]) -> httpx.Request:
    headers = [(name, value) for name, value in scope["headers"] if name not in DROPPED]
    headers.append((CLIENT, (scope["client"][0] if scope["client"] else "").encode("latin-1")))
    if certificate := scope.get("state", {}).get("certificate"):
        headers.append((CERTIFICATE, quote(certificate).encode()))
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    url = httpx.URL("http://overtone", raw_path=path + query)
    return httpx.Request(scope["method"], url, headers=headers, content=body)


def _lost() -> StateLost:
    return StateLost("the layers before are lost: send all layers again")


async def _refuse(scope: Scope, receive: Receive, send: Send, error: ServiceError) -> None:
    body = schemas.failure(error.code.name, error.message)
    # The connection is closed, because the request may not have been read to its end.
    await JSONResponse(body.model_dump(), error.http, {"connection": "close"})(scope, receive, send)


async def _return(response: httpx.Response, send: Send) -> None:
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in DROPPED]
    with contextlib.suppress(httpx.TransportError):  # the response then ends too early for the client too
        try:
            await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
            async for chunk in response.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await response.aclose()
