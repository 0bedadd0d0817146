"""A Ray cluster of several nodes on this machine, of which some are killed while devices use it."""

import asyncio
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from overtone.gpu_server.errors import StartError
from tests.gpu_server.conftest import MakeSettings

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'overtone[ray]'")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own are not ours to mend
    from ray import serve
    from ray.cluster_utils import Cluster

    from overtone.benchmarks.cluster.local_cluster import CORES, local_cluster, serving_on
    from overtone.benchmarks.devices import Device
    from overtone.gpu_server.cluster.application import ENGINES, FACES
    from overtone.gpu_server.cluster.serve import run_on_ray

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("default"),
]

# Seconds for a node to be started or missed on a machine that may be busy.
LATER = 400.0
NODES = 3
# Images that must have been answered until something has been survived.
MANY = 50


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with local_cluster(NODES) as cluster:
        yield cluster


@pytest.fixture
def connected(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, which this process can ask."""
    ray.init(cluster.address, namespace="serve", log_to_driver=False)
    yield cluster
    ray.shutdown()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LATER):
        while not condition():
            await asyncio.sleep(0.1)


async def goes_on(devices: Sequence[Device]) -> None:
    """Wait until each device has many more answers."""
    enough = [device.answered + MANY for device in devices]
    await until(lambda: all(d.answered >= e for d, e in zip(devices, enough, strict=True)))


def replicas(application: str, deployment: str) -> int:
    """How many run."""
    found = serve.status().applications[application].deployments[deployment]
    return int(found.replica_states.get("RUNNING", 0))


async def test_engines_follow_the_load_killed_nodes_lose_no_image_and_a_new_node_gets_a_face(
    connected: Cluster, tiny_checkpoint: Path
) -> None:
    cluster = connected
    arguments = ("--device", "stub:100", "--engines", "1", "--max-engines", "2")
    over = asyncio.Event()
    async with serving_on(cluster.address, str(tiny_checkpoint), *arguments) as addresses:
        assert (replicas(FACES, "face"), replicas(ENGINES, "engine")) == (NODES, 1)
        devices = [
            Device(transport, addresses[transport]) for transport in ("grpc", "rest") for _ in range(2)
        ]
        async with asyncio.TaskGroup() as tasks:
            for device in devices:
                tasks.create_task(device.run(over))
            await goes_on(devices)
            await until(lambda: replicas(ENGINES, "engine") == 2)
            for node in list(cluster.worker_nodes):
                await asyncio.to_thread(cluster.remove_node, node, allow_graceful=False)
                await goes_on(devices)
            over.set()
        await until(lambda: replicas(FACES, "face") == 1)
        cluster.add_node(num_cpus=CORES)
        await until(lambda: replicas(FACES, "face") == 2)
    assert [error for device in devices for error in device.errors] == []
    assert not {FACES, ENGINES} & set(serve.status().applications)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device": "cuda"}, "has a GPU for --device cuda"),
        ({"device": "toaster"}, "'toaster' is no device of an engine"),
        ({"workers": 2}, "one face on each node"),
        ({"model": "nothing"}, "cannot serve nothing"),
    ],
)
def test_what_cannot_be_served_is_said(
    cluster: Cluster, settings: MakeSettings, changes: dict[str, object], reason: str
) -> None:
    given = {"ray": cluster.address, "grpc_port": 1024, "http_port": 1025} | changes
    with pytest.raises(StartError, match=reason):
        run_on_ray(settings(**given))
