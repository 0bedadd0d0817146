"""What operators look at: health, metrics and documentation, on the port of the API or on one of their own."""

from http import HTTPStatus

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from overtone.gpu_server.service import Service


def create_admin_app(service: Service, documented: FastAPI) -> FastAPI:
    """The application of the administrators' port; `documented` is the API that its pages describe."""
    app = FastAPI(title="Overtone", docs_url=None, redoc_url=None, openapi_url=None)
    add_health(app, service)
    add_metrics(app, service)

    @app.get("/openapi.json")
    async def openapi() -> Response:
        return JSONResponse(documented.openapi())

    @app.get("/docs", response_class=HTMLResponse)
    async def docs() -> Response:
        return get_swagger_ui_html(openapi_url="/openapi.json", title=documented.title)

    return app


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
