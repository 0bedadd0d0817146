"""Routes for operators: health, metrics, documentation and model loading, at the API's port or one of their own."""

from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from overtone.gpu_server.errors import ServiceError
from overtone.gpu_server.limits.peers import peer_of
from overtone.gpu_server.limits.role import Role
from overtone.gpu_server.open_inference.model_repository import Owner, add_index, add_loading
from overtone.gpu_server.service import Service


def create_admin_app(service: Service, documented: FastAPI) -> FastAPI:
    """The application of the administrators' port; `documented` is the API that its pages describe.

    Health is open to all, the rest to tokens with the role that it needs, where there is a file of tokens.
    """
    app = FastAPI(
        title="Overtone",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        exception_handlers={ServiceError: _service_error},
    )
    app.state.service = service
    add_health(app, service)
    add_metrics(app, service, monitor)
    if service.several:
        add_index(app, service, monitor)
        add_loading(app, service, administrator)

    @app.get("/openapi.json")
    async def openapi(request: Request) -> Response:
        monitor(service, request)
        return JSONResponse(documented.openapi())

    @app.get("/docs", response_class=HTMLResponse)
    async def docs(request: Request) -> Response:
        monitor(service, request)
        return get_swagger_ui_html(openapi_url="/openapi.json", title=documented.title)

    return app


def monitor(service: Service, request: Request) -> str:
    """Admit a client with the role monitor or admin, and name it.

    Raises:
        Unauthenticated: it has no token.
        Forbidden: its token has another role.
    """
    return _admitted(service, request, Role.MONITOR)


def administrator(service: Service, request: Request) -> str:
    """Admit a client with the role admin, and name it; raises as `monitor` does."""
    return _admitted(service, request, Role.ADMIN)


def _admitted(service: Service, request: Request, needed: Role) -> str:
    address = peer_of(request.client.host) if request.client else ""
    name = service.access.admit_administrator(request.headers.get("authorization"), address, needed)
    request.state.account = service.access.account(name)
    return name


async def _service_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    headers = {"www-authenticate": "Bearer"} if error.http == HTTPStatus.UNAUTHORIZED else None
    return JSONResponse({"error": error.message}, error.http, headers)


def add_health(app: FastAPI, service: Service) -> None:
    """Add `/livez` and `/readyz`."""

    @app.get("/livez", response_class=PlainTextResponse)
    async def livez() -> str:
        """Whether the process answers."""
        return "ok"

    @app.get("/readyz", response_class=PlainTextResponse)
    async def readyz() -> Response:
        """Whether the server should be sent requests; the body says why or why not."""
        status = HTTPStatus.OK if service.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return PlainTextResponse(service.status, status)


def add_metrics(app: FastAPI, service: Service, owner: Owner) -> None:
    """Add `/metrics`; `owner` lets a client in."""

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        """Metrics for Prometheus."""
        owner(service, request)
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
