"""Image inference for devices on thin links: the fundamental first, the overtones on request.

    from overtone import Client

The client is imported only when it is used, so that `overtone.frequency` needs no gRPC and a server no client.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from overtone.edge_client import Answer as Answer
    from overtone.edge_client import AsyncClient as AsyncClient
    from overtone.edge_client import Client as Client
    from overtone.edge_client import Detected as Detected
    from overtone.edge_client import Detection as Detection
    from overtone.edge_client import OvertoneError as OvertoneError
    from overtone.edge_client import Result as Result
    from overtone.edge_client import Tls as Tls

__version__ = "0.2.0"

__all__ = [
    "Answer",
    "AsyncClient",
    "Client",
    "Detected",
    "Detection",
    "OvertoneError",
    "Result",
    "Tls",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from overtone import edge_client

        return getattr(edge_client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
