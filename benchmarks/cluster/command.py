"""`overtone bench cluster`: images a second by the number of engines, and images lost when a node is killed."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from ray.cluster_utils import Cluster

from overtone.benchmarks.child import Child, ChildError, stop_on_signals
from overtone.benchmarks.cluster.local_cluster import local_cluster, serving_on
from overtone.benchmarks.devices import Device, figures, print_figures
from overtone.benchmarks.faults.honest import TRANSPORTS, image
from overtone.benchmarks.figure import Figure
from overtone.benchmarks.process_tree import cpu_seconds
from overtone.benchmarks.serve.window import BEGIN
from overtone.benchmarks.serve.workload import Workload, prepare_checkpoint
from overtone.benchmarks.server import START_SECONDS
from overtone.edge_client import encode_image

# Seconds of load before what is measured: the first batches take longer.
WARM_UP = 3.0
# Seconds of load before a node is killed, and after.
BEFORE, AFTER = 3.0, 15.0
# Devices that use the server while a node is killed, over each transport.
DEVICES = 2
# Nothing is refused because it has waited: that an engine has more to do than it can is what is measured.
PATIENT: dict[str, str | None] = {"OVERTONE_STANDING_DELAY": "0", "OVERTONE_BROWNOUT": "60"}


@dataclass(frozen=True)
class Options:
    """The options of the command.

    Attributes:
        model: the checkpoint.
        engines: the numbers of engines to measure, one measurement each.
        nodes: how many nodes the cluster has.
        batch_ms: milliseconds that a batch takes a stub engine, which waits and computes nothing.
        batch: images in the largest batch.
        in_flight: images in flight for each engine.
        seconds: how long each measurement lasts.
    """

    model: str
    engines: tuple[int, ...]
    nodes: int
    batch_ms: int
    batch: int
    in_flight: int
    seconds: float

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of `overtone serve`."""
        return ("--device", f"stub:{self.batch_ms}")

    @property
    def environment(self) -> dict[str, str | None]:
        """The environment variables of `overtone serve`."""
        return PATIENT | {"OVERTONE_BATCH_SIZES": ",".join(map(str, range(1, self.batch + 1)))}


def run(options: Options, as_json: bool) -> int:
    """Measure, print, and return 1 if an image was lost.

    Raises:
        ValueError: no such checkpoint.
        ChildError: the server or the load generator failed.
    """
    with local_cluster(options.nodes) as cluster:
        found = asyncio.run(_Measurement(options, cluster).run())
    if as_json:
        print(json.dumps([asdict(figure) for figure in found]))
    else:
        print_figures(found)
    return 0 if all(figure.good for figure in found) else 1


class _Measurement:
    """One run of the command."""

    def __init__(self, options: Options, cluster: Cluster) -> None:
        self._options, self._cluster = options, cluster

    async def run(self) -> list[Figure]:
        stop_on_signals()
        found: list[Figure] = []
        with tempfile.TemporaryDirectory(prefix="overtone-cluster-") as folder:
            model, workload = Path(folder) / "model.safetensors", Path(folder) / "workload.json"
            card = prepare_checkpoint(self._options.model, "low", model)
            first = encode_image(image(), card.profile).encoded.layers[0]
            Workload(((first,),), promised=1).write(workload)
            for engines in self._options.engines:
                async with self._serving(str(model), engines) as addresses:
                    found += await self._rate(engines, addresses, workload)
                    last = engines == self._options.engines[-1]
                    if last and self._options.nodes > 1:
                        found += await self._kill(addresses)
        return found

    async def _rate(self, engines: int, addresses: Mapping[str, str], workload: Path) -> list[Figure]:
        """Images a second of so many engines."""
        found = await self._load(addresses["grpc"], workload, engines * self._options.in_flight)
        name = f"engines_{engines}"
        most = 1000 * engines * self._options.batch / self._options.batch_ms
        rate = found["images"] / found["seconds"]
        return [
            Figure(f"{name}.images_per_second", rate, "images/s"),
            Figure(f"{name}.share_of_engines", rate / most, "of what they can do"),
            Figure(f"{name}.p50", found["p50_ms"], "ms"),
            Figure(f"{name}.cpu", 1000 * found["cpu"] / max(1, found["images"]), "ms an image"),
            Figure(f"{name}.failed", found["failed"], "images"),
        ]

    async def _load(self, address: str, workload: Path, in_flight: int) -> dict[str, float]:
        """Load the faces over gRPC sessions; `cpu` is that of everything but the load generator."""
        o = self._options
        program = (sys.executable, "-m", "overtone.benchmarks.serve.load", "session", address)
        load = ("--workload", str(workload), "--in-flight", str(in_flight))
        times = ("--warm-up", str(WARM_UP), "--seconds", str(o.seconds))
        async with Child.running("the load generator", *program, *load, *times) as generator:
            if (line := await generator.line(START_SECONDS)) != BEGIN:
                raise ChildError(f"the load generator printed {line!r}")
            before = self._cpu(generator)
            found: dict[str, float] = json.loads(await generator.line(o.seconds + START_SECONDS))
            return found | {"cpu": self._cpu(generator) - before}

    @staticmethod
    def _cpu(generator: Child) -> float:
        return cpu_seconds(os.getpid()) - cpu_seconds(generator.pid)

    async def _kill(self, addresses: Mapping[str, str]) -> list[Figure]:
        """Kill a node while devices use the server, and see what becomes of their images."""
        over = asyncio.Event()
        devices = [Device(each, addresses[each]) for each in TRANSPORTS for _ in range(DEVICES)]
        running = [asyncio.create_task(device.run(over)) for device in devices]
        try:
            await asyncio.sleep(BEFORE)
            victim = next(iter(self._cluster.worker_nodes))
            await asyncio.to_thread(self._cluster.remove_node, victim, allow_graceful=False)
            await asyncio.sleep(AFTER)
        finally:
            over.set()
            await asyncio.gather(*running)
        return figures("node_killed", devices)

    def _serving(self, model: str, engines: int) -> AbstractAsyncContextManager[dict[str, str]]:
        o = self._options
        count = ("--engines", str(engines))
        return serving_on(self._cluster.address, model, *o.arguments, *count, environment=o.environment)
