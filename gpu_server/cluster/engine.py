"""An engine of a cluster: a process with networks, which runs the batches that faces send it, one after the other."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overtone.gpu_server.answer import Stage
from overtone.gpu_server.cluster.model_file import verified_path
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.engine.inference import Network
from overtone.gpu_server.networks.torch_network import cache_of, open_network
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.telemetry import logs

log = logging.getLogger(__name__)


class EngineReplica:
    """One replica of the deployment of engines; its network is warm once it is made.

    Args:
        settings: of the server.
        digest: the SHA-256 that the file of the model must have, in hexadecimal.

    Raises:
        ValueError: this node has no such model or device.
    """

    def __init__(self, settings: Settings, digest: str) -> None:
        logs.configure(settings.log_level, settings.log_format, settings.access_log)
        s, path = settings, verified_path(settings.model, digest)
        options = (s.batch_sizes, s.threads or 1, s.cuda_graphs, s.runtime)
        self._network: Network = open_network(path, s.devices[0], *options, cache_of(s))[0]
        self._network.warm()
        self._failed = False

    # A coroutine, because Ray Serve runs coroutines in one thread, the one in which the network was warmed.
    async def run(self, stage: Stage, images: Sequence[DecodedImage]) -> NDArray[np.float32]:
        """Rows float32[N, K], one for each image."""
        try:
            return self._network.run(stage, images)
        except Exception:
            log.exception("a batch has failed")
            self._failed = True
            raise

    async def check_health(self) -> None:
        """After a batch has failed, test the network; if it raises, Ray Serve replaces this replica."""
        if self._failed:
            self._network.run(Stage.LOW, [self._network.example()])
            self._failed = False
