"""A server in the test's own process, on free ports of this machine."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from overtone.gpu_server.serve import Running
from overtone.gpu_server.settings import Settings

Serve = Callable[..., AbstractAsyncContextManager[Running]]


def quick_settings(checkpoint: Path, **changes: Any) -> Settings:
    """Settings of a server that starts and stops quickly."""
    quick: dict[str, Any] = {
        "grpc_port": 0,
        "http_port": 0,
        "threads": 1,
        "device": "cpu",
        "runtime": "torch",
    }
    quick |= {"batch_sizes": (1, 2), "pause": 0, "linger": 0.05, "model": str(checkpoint)}
    quick |= {"standing_delay": 0}  # a machine that is busy with other tests refuses nothing
    return Settings(**{**quick, **changes})
