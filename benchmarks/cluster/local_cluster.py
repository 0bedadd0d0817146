"""A Ray cluster of several nodes on this machine, and `overtone serve` on it."""

import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager

from ray.cluster_utils import Cluster

from overtone.benchmarks.server import ENVIRONMENT, started

# Cores that a node claims to have, of which a face has one: nodes share those of this machine.
CORES = 3
# On a busy machine its processes take longer to start than Ray waits for them. Ray tells its makers of its use, and
# keeps a token, unless it is told not to.
ENVIRONMENT_OF_RAY = {
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
}


@contextmanager
def local_cluster(nodes: int) -> Iterator[Cluster]:
    """So many nodes; the first is the head, and the others may be removed."""
    os.environ.update(ENVIRONMENT_OF_RAY)
    each = {"num_cpus": CORES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=each)
    try:
        for _ in range(1, nodes):
            cluster.add_node(num_cpus=CORES)
        yield cluster
    finally:
        cluster.shutdown()


@asynccontextmanager
async def serving_on(
    address: str, model: str, *arguments: str, environment: Mapping[str, str | None] | None = None
) -> AsyncIterator[dict[str, str]]:
    """`overtone serve --ray` with these arguments: "host:port" by transport, which all nodes share.

    Raises:
        ChildError: it did not start; the message has its standard error.
    """
    with ExitStack() as taken:
        grpc, http = (_free_port(taken) for _ in range(2))
    ports = ("--grpc-port", grpc, "--http-port", http)
    variables = {**ENVIRONMENT, **(environment or {})}
    async with started(model, "--ray", address, *arguments, *ports, environment=variables) as (_, addresses):
        yield addresses


def _free_port(taken: ExitStack) -> str:
    return str(taken.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1])
