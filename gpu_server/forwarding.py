"""Requests for an image of which another process has the first layers are passed on to it.

All faces share a port, and the connection of a later request may reach another face than the first one. A token begins
with the number of its face.
"""

from collections.abc import AsyncIterator

import httpx
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from overtone.gpu_server import schemas
from overtone.gpu_server.errors import StateLost
from overtone.gpu_server.face import Face
from overtone.gpu_server.settings import Settings

PATH = "/v1/images/"
# The address of the client, in a request from another face; believed only on the socket between faces.
CLIENT = b"x-overtone-client"
# Headers that are about the connection and not the request, or would be believed from this machine.
DROPPED = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"x-forwarded-for", b"x-forwarded-proto", CLIENT}
)


class Forwarding:
    """An application in front of `app` of one face."""

    def __init__(self, app: ASGIApp, face: Face, settings: Settings) -> None:
        self._app = app
        self._face = face
        self._scheme = "http" if settings.tls_certificate is None else "https"
        self._timeout = settings.deadline + settings.body_timeout
        self._peers: dict[int, httpx.AsyncClient] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if scope["client"] is None:  # from another face, over its socket
            address = dict(scope["headers"]).get(CLIENT, b"").decode("latin-1")
            return await self._app({**scope, "client": (address, 0)}, receive, send)
        peer = self._owner(scope["path"])
        if peer is None:
            return await self._app(scope, receive, send)
        return await self._forward(peer, scope, receive, send)

    async def close(self) -> None:
        """Close the connections to other faces."""
        for client in self._peers.values():
            await client.aclose()

    def _owner(self, path: str) -> int | None:
        """The face that gave the token of this path, if it is another one."""
        number = path.removeprefix(PATH).partition("-")[0] if path.startswith(PATH) else ""
        if not (number.isascii() and number.isdigit()) or len(number) > 4:
            return None
        found = int(number)
        return found if found < self._face.count and found != self._face.number else None

    async def _forward(self, peer: int, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name not in DROPPED]
        headers.append((CLIENT, (scope["client"][0] if scope["client"] else "").encode()))
        url = f"{self._scheme}://overtone{scope['path']}?{scope['query_string'].decode('latin-1')}"
        request = httpx.Request(scope["method"], url, headers=headers, content=_body(receive))
        try:
            response = await self._client(peer).send(request, stream=True)
        except httpx.TransportError:
            # It has ended, and with it what it knew.
            body = schemas.failure(StateLost.code.name, "the layers before are lost: send all layers again")
            await JSONResponse(body.model_dump(), StateLost.http)(scope, receive, send)
            return
        try:
            await _return(response, send)
        finally:
            await response.aclose()

    def _client(self, peer: int) -> httpx.AsyncClient:
        if peer not in self._peers:
            path = str(self._face.socket(peer))
            transport = httpx.AsyncHTTPTransport(uds=path, verify=False)
            self._peers[peer] = httpx.AsyncClient(transport=transport, timeout=self._timeout)
        return self._peers[peer]


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise httpx.ReadError("the client has disconnected")
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _return(response: httpx.Response, send: Send) -> None:
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in DROPPED]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    async for chunk in response.aiter_raw():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
