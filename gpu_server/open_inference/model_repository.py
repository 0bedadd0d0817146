"""The model repository extension of the Open Inference Protocol over REST: listing, loading and unloading models."""

import logging
from collections.abc import Callable

from fastapi import APIRouter, FastAPI, Request
from pydantic import ValidationError

from overtone.gpu_server.errors import BadRequest
from overtone.gpu_server.open_inference import schemas
from overtone.gpu_server.rest.bodies import received
from overtone.gpu_server.service import Service

log = logging.getLogger(__name__)

# The name of the extension.
REPOSITORY = "model_repository"
PREFIX = "/v2/repository"
# Bytes of the body of an index request.
MAX_JSON = 1024
BODY = {"content": {"application/json": {"schema": schemas.IndexRequest.model_json_schema()}}}

Owner = Callable[[Service, Request], str]


def add_index(app: FastAPI, service: Service, owner: Owner) -> None:
    """Add the list of all models; `owner` lets a client in."""
    router = APIRouter(prefix=PREFIX)

    # The body is read here and not by FastAPI, which would take one of any size, from anybody.
    @router.post("/index", openapi_extra={"requestBody": BODY})
    async def index(request: Request) -> list[schemas.IndexEntry]:
        """The versions that there are, or only those that are ready, and why others are not."""
        async with received(request, MAX_JSON, owner(service, request)) as body:
            only_ready = _asked(body).ready
        return [
            schemas.IndexEntry(
                name=status.model.name,
                version=str(status.model.version),
                state=status.state,
                reason=status.reason,
            )
            for status in service.repository.statuses
            if status.state == "READY" or not only_ready
        ]

    app.include_router(router)


def add_loading(app: FastAPI, service: Service, owner: Owner) -> None:
    """Add loading and unloading, for administrators; `owner` lets them in."""
    router = APIRouter(prefix=f"{PREFIX}/models", responses={"default": {"model": schemas.InferenceError}})

    @router.post("/{name}/load")
    async def load(request: Request, name: str) -> None:
        """Load the versions of a model that are new or have changed, and let go of those that are gone."""
        who = owner(service, request)
        await service.repository.load_by_name(name)
        log.info("%s has loaded %s", who, name)

    @router.post("/{name}/unload")
    async def unload(request: Request, name: str) -> None:
        """Let go of a model; sessions finish on it. It comes back when it is loaded, or the folder is read again."""
        who = owner(service, request)
        await service.repository.unload_by_name(name)
        log.info("%s has unloaded %s", who, name)

    app.include_router(router)


def _asked(body: bytes) -> schemas.IndexRequest:
    """The index request in a body; an empty one asks for all models.

    Raises:
        BadRequest: the body is no such JSON.
    """
    try:
        return schemas.IndexRequest.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise BadRequest(error.errors()[0]["msg"]) from None
