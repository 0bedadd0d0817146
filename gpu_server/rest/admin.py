"""What operators use: health, metrics, documentation and models, on the port of the API or on one of their own."""

from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from overtone.gpu_server.errors import ServiceError
from overtone.gpu_server.open_inference.model_repository import add_index, add_loading
from overtone.gpu_server.service import Service


def create_admin_app(service: Service, documented: FastAPI) -> FastAPI:
    """The application of the administrators' port; `documented` is the API that its pages describe."""
    app = FastAPI(
        title="Overtone",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        exception_handlers={ServiceError: _service_error},
    )
    add_health(app, service)
    add_metrics(app, service)
    if service.several:
        add_index(app, service.repository)
        add_loading(app, service.repository)

    @app.get("/openapi.json")
    async def openapi() -> Response:
        return JSONResponse(documented.openapi())

    @app.get("/docs", response_class=HTMLResponse)
    async def docs() -> Response:
        return get_swagger_ui_html(openapi_url="/openapi.json", title=documented.title)

    return app


async def _service_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return JSONResponse({"error": error.message}, error.http)


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


def add_metrics(app: FastAPI, service: Service) -> None:
    """Add `/metrics`."""

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Metrics for Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
