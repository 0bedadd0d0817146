"""An engine: a process with a network, which runs the batches that faces send it, one after the other."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.cluster.model_file import checked
from overtone.gpu_server.engine.inference import Network
from overtone.gpu_server.known import Known
from overtone.gpu_server.networks.torch_network import cache_of, open_network
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.telemetry import logs

log = logging.getLogger(__name__)


class EngineReplica:
    """One replica of the deployment of engines; ready, and warm, once it is made.

    Raises:
        ValueError: this node has no such model or device.
    """

    def __init__(self, settings: Settings, digest: str) -> None:
        logs.configure(settings.log_level, settings.log_format, settings.access_log)
        s, path = settings, checked(settings.model, digest)
        options = (s.batch_sizes, s.threads or 1, s.cuda_graphs, s.runtime)
        self._network: Network = open_network(path, s.devices[0], *options, cache_of(s))[0]
        self._network.warm()
        self._failed = False

    # A coroutine, because Ray Serve runs these in one thread, in which the network was warmed.
    async def run(self, stage: Stage, images: Sequence[Known]) -> NDArray[np.float32]:
        """Logits float32[N, K]."""
        try:
            return self._network.run(stage, images)
        except Exception:
            log.exception("a batch has failed")
            self._failed = True
            raise

    async def check_health(self) -> None:
        """Raise if the network still fails after a batch has failed; Ray then starts another engine in its place."""
        if self._failed:
            self._network.run(Stage.LOW, [self._network.example()])
            self._failed = False
