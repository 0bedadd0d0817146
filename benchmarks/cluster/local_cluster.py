"""A Ray cluster of several nodes on this machine, and `overtone serve` on it."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from ray.cluster_utils import Cluster

from overtone.benchmarks.free_ports import free_ports
from overtone.benchmarks.server import ENVIRONMENT, started

# Cores that a node claims to have, of which a face has one: nodes share those of this machine.
CORES = 3
# Every face and engine is a process that imports everything; on a busy machine that takes minutes.
START_SECONDS = 600.0
# Otherwise each node starts as many processes as it has cores, before anybody has asked for them.
NO_SPARE_PROCESSES = {"enable_worker_prestart": False}
# Ray tells its makers of its use, and keeps a token, unless it is told not to.
ALONE = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}


@contextmanager
def local_cluster(nodes: int) -> Iterator[Cluster]:
    """Start a cluster of so many nodes; the first is the head, and the others may be removed."""
    os.environ.update(ALONE)
    head = {"num_cpus": CORES, "include_dashboard": False, "_system_config": NO_SPARE_PROCESSES}
    cluster = Cluster(initialize_head=True, head_node_args=head)
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
    grpc, http = free_ports(2)
    ports = ("--grpc-port", str(grpc), "--http-port", str(http))
    variables = {**ENVIRONMENT, **(environment or {})}
    command = (model, "--ray", address, *arguments, *ports)
    async with started(*command, environment=variables, within=START_SECONDS) as (_, addresses):
        yield addresses
