"""A face of a cluster: the front-end process of one node, which sends its batches to engines."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from overtone.gpu_server.cluster.model_file import verified_path
from overtone.gpu_server.cluster.remote_network import RemoteNetwork, SendBatch
from overtone.gpu_server.networks.stub import LARGEST
from overtone.gpu_server.networks.torch_network import CPU_SIZES
from overtone.gpu_server.running import Running, running
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.system import garbage_collector
from overtone.gpu_server.telemetry import logs
from overtone.models.any_card import read_any_card

# The part of `settings.deadline` for which a batch waits for engines, unless engines are measured to be slower. After
# about twice that, test included, the face is no longer ready, and refuses waiting images in time for another server.
PATIENCE = 0.25


class FaceReplica:
    """One replica of the deployment of faces; it serves from when it is made until it is deleted.

    Args:
        send: has an engine run a batch.
        settings: of the server.
        digest: the SHA-256 that the file of the model must have, in hexadecimal.

    Raises:
        ValueError: this node has no such model.
        StartError: a port or a file cannot be used on this node.
    """

    async def __init__(self, send: SendBatch, settings: Settings, digest: str) -> None:  # type: ignore[misc]
        logs.configure(settings.log_level, settings.log_format, settings.access_log)
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(serving(send, settings, digest))
        garbage_collector.collect_and_freeze()

    async def __del__(self) -> None:
        """Drain and stop; Ray Serve awaits this before it ends the process."""
        await self._stack.aclose()


@asynccontextmanager
async def serving(send: SendBatch, settings: Settings, digest: str) -> AsyncIterator[Running]:
    """A server whose batches are run by engines; arguments and errors as of `FaceReplica`."""
    model = await asyncio.to_thread(verified_path, settings.model, digest)
    profile = (await asyncio.to_thread(read_any_card, model)).profile
    deadline = settings.deadline
    network = RemoteNetwork(send, profile, batch_sizes(settings), PATIENCE * deadline, deadline)
    async with running(settings, networks=[network] * settings.networks) as server:
        yield server


def batch_sizes(settings: Settings) -> tuple[int, ...]:
    """The batch sizes that faces use: on a CPU, where padding costs time, those for which engines are warm."""
    if settings.devices[0] == "cpu":
        return settings.batch_sizes or CPU_SIZES
    return tuple(range(1, (settings.batch_sizes or (LARGEST,))[-1] + 1))
