"""A server in the test's own process, on free ports of this machine."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from overtone.gpu_server.networks.torch_network import open_networks
from overtone.gpu_server.serve import Running
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.system.watched_files import fingerprint

Serve = Callable[..., AbstractAsyncContextManager[Running]]
# What `opened_once` has opened.
_opened: dict[str, Any] = {}


def opened_once(path: Path, settings: Settings) -> Any:
    """What `open_networks` returns, opened once for the same file and settings: that takes half of a server's start.

    Networks keep nothing from one batch to the next, so servers can share them.
    """
    s = settings
    options = (s.devices, s.batch_sizes, s.threads, s.networks, s.runtime, s.cuda_graphs)
    key = repr((path, fingerprint(path), options))
    if key not in _opened:
        _opened[key] = open_networks(path, settings)
    networks, card = _opened[key]
    return list(networks), card


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
