"""The model repository extension of the Open Inference Protocol over REST: what there is, loading and unloading."""

from fastapi import APIRouter, FastAPI

from overtone.gpu_server.open_inference import schemas
from overtone.gpu_server.repository.repository import Repository

# The name of the extension.
REPOSITORY = "model_repository"
PREFIX = "/v2/repository"


def add_index(app: FastAPI, repository: Repository) -> None:
    """Add the list of all models."""
    router = APIRouter(prefix=PREFIX)

    @router.post("/index")
    async def index(asked: schemas.IndexRequest | None = None) -> list[schemas.IndexEntry]:
        """The versions that there are, or only those that are ready, and why others are not."""
        only_ready = asked is not None and asked.ready
        return [
            schemas.IndexEntry(
                name=entry.model.name,
                version=str(entry.model.version),
                state=entry.state,
                reason=entry.reason,
            )
            for entry in repository.entries
            if entry.state == "READY" or not only_ready
        ]

    app.include_router(router)


def add_loading(app: FastAPI, repository: Repository) -> None:
    """Add loading and unloading, for administrators."""
    router = APIRouter(prefix=f"{PREFIX}/models", responses={"default": {"model": schemas.InferenceError}})

    @router.post("/{name}/load")
    async def load(name: str) -> None:
        """Load the versions of a model that are new or have changed, and let go of those that are gone."""
        await repository.load_by_name(name)

    @router.post("/{name}/unload")
    async def unload(name: str) -> None:
        """Let go of a model; sessions finish on it. It comes back when it is loaded, or the folder is read again."""
        await repository.unload_by_name(name)

    app.include_router(router)
