"""A face: a server without a network of its own, on a node of a cluster."""

import asyncio
from contextlib import AsyncExitStack

from overtone.gpu_server.cluster.model_file import checked
from overtone.gpu_server.cluster.remote_network import RemoteNetwork, Send
from overtone.gpu_server.networks.stub import LARGEST
from overtone.gpu_server.networks.torch_network import CPU_SIZES
from overtone.gpu_server.running import running
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.system import garbage
from overtone.gpu_server.telemetry import logs
from overtone.models import read_card

# Of the time that an image may take, the part for which a batch waits for engines, if they are not known to be slow.
# After about twice that, with a test, the face says that it is not ready, and images that wait are sent away in time to
# be tried elsewhere.
PATIENCE = 0.25


class FaceReplica:
    """One replica of the deployment of faces; it serves once it is made, until it is deleted.

    Raises:
        ValueError: this node has no such model.
        StartError: a port or a file cannot be used on this node.
    """

    async def __init__(self, send: Send, settings: Settings, digest: str) -> None:  # type: ignore[misc]
        s = settings
        logs.configure(s.log_level, s.log_format, s.access_log)
        model = await asyncio.to_thread(checked, s.model, digest)
        profile = (await asyncio.to_thread(read_card, model)).profile
        network = RemoteNetwork(send, profile, batch_sizes(s), PATIENCE * s.deadline, s.deadline)
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(running(s, networks=[network] * s.networks))
        garbage.collect_and_keep()

    async def __del__(self) -> None:
        """Ray Serve calls it, and waits for it, before the process ends: drain."""
        await self._stack.aclose()


def batch_sizes(settings: Settings) -> tuple[int, ...]:
    """The batches that faces form: on a CPU, where padding costs time, those that engines are warm for."""
    if settings.devices[0] == "cpu":
        return settings.batch_sizes or CPU_SIZES
    return tuple(range(1, (settings.batch_sizes or (LARGEST,))[-1] + 1))
