"""`overtone bench serve`: start one server after the other, load it, and compare."""

import asyncio
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overtone.benchmarks.child import Child, ChildError
from overtone.benchmarks.images import gather
from overtone.benchmarks.machine import about_machine
from overtone.benchmarks.process_tree import cpu_seconds
from overtone.benchmarks.serve import report
from overtone.benchmarks.serve.services import (
    OURS,
    PEERS,
    Endpoint,
    Peer,
    Running,
    Served,
    our_server,
    peer_server,
)
from overtone.benchmarks.serve.window import BEGIN
from overtone.benchmarks.serve.workload import (
    NETWORKS,
    Network,
    Stage,
    encode_all,
    prepare_checkpoint,
)
from overtone.benchmarks.server import START_SECONDS

# More different payloads would change nothing.
IMAGES = 64
# A stub's batch costs nothing, so that larger ones save only overhead.
STUB_BATCH = 32
Json = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """The options of the command.

    Attributes:
        model: the checkpoint.
        device: the device that the real network runs on.
        stage: the network that servers run: low on the first layer, or high on all layers.
        quality: the quality that images are encoded at; None means the profile's.
        networks: the real network, the stub, or both.
        peers: whether other servers are measured.
        in_flight: images in flight.
        workers: of the peers; 0 means one a core.
        warm_up, seconds: of load before and in each measurement.
        rounds: how often everything is measured, every other time in reversed order.
    """

    model: str = "photographs"
    device: str = "cpu"
    stage: Stage = "low"
    quality: int | None = None
    networks: tuple[Network, ...] = NETWORKS
    peers: bool = True
    in_flight: int = 64
    workers: int = 0
    warm_up: float = 1.0
    seconds: float = 4.0
    rounds: int = 2


def run(images: Path | None, out: Path, options: Options, as_json: bool = False) -> Json:
    """Measure, write `serve.json` into a folder, and print a table, or all of it as JSON.

    Raises:
        ValueError: no images, no such checkpoint or device.
        ChildError: our own server or a load generator failed.
    """
    say = _quiet if as_json else _progress
    with tempfile.TemporaryDirectory(prefix="overtone-serve-") as folder:
        found = asyncio.run(_Comparison(options, Path(folder), say).run(images))
    out.mkdir(parents=True, exist_ok=True)
    (out / "serve.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if as_json:
        print(json.dumps(found))
    else:
        report.show(found)
    return found


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _quiet(line: str) -> None:
    pass


class _Comparison:
    """One run of the command; its files are in `folder`."""

    def __init__(self, options: Options, folder: Path, say: Any) -> None:
        self._options, self._say = options, say
        self._checkpoint = folder / "measured.safetensors"
        self._workload_file, self._all_layers_file = folder / "workload.json", folder / "layers.json"
        self._workers = options.workers or len(os.sched_getaffinity(0))
        self._runs: dict[tuple[str, str, Network], list[Json]] = defaultdict(list)
        self._notes: list[str] = []
        self._peers: list[Peer] = []

    async def run(self, images: Path | None) -> Json:
        options, about = self._options, about_machine()
        card = prepare_checkpoint(options.model, options.stage, self._checkpoint)
        paths = gather(images, IMAGES).paths
        self._workload = encode_all(paths, card.profile, options.stage, options.quality)
        self._workload.write(self._workload_file)
        encode_all(paths, card.profile, "high", options.quality).write(self._all_layers_file)
        self._peers = self._installed() if options.peers else []
        batch = await self._measure_all()
        setup = {
            "model": options.model,
            "stage": options.stage,
            "device": options.device,
            "in_flight": options.in_flight,
            "seconds": options.seconds,
            "rounds": options.rounds,
            "payload_bytes": self._workload.mean_bytes,
            "peer_workers": self._workers,
            "peer_batch": batch,
        }
        return report.document(about, setup, self._runs, self._notes)

    def _installed(self) -> list[Peer]:
        missing = [peer.name for peer in PEERS if not peer.installed]
        if missing:
            self._note(f"{', '.join(missing)} left out: pip install 'overtone[bench-serve]'")
        return [peer for peer in PEERS if peer.installed]

    async def _measure_all(self) -> int:
        """Round after round; return the batch size of the peers, which is the best one of the bare network."""
        batch = 1
        for number in range(self._options.rounds):
            if "real" in self._options.networks:
                rates = await self._bare()
                batch = batch if number else rates[self._options.stage]["size"]
            for network in self._options.networks:
                size = STUB_BATCH if network == "stub" else batch
                served = Served(
                    self._checkpoint, self._options.device, network, self._options.stage, size, self._workers
                )
                order = [None, *self._peers]
                for peer in order if number % 2 == 0 else reversed(order):
                    await self._server(served, peer)
        return batch

    async def _bare(self) -> Json:
        """Both stages of the network without a server."""
        arguments = ("--model", str(self._checkpoint), "--workload", str(self._all_layers_file))
        device = ("--device", self._options.device, "--seconds", str(self._options.seconds))
        command = (sys.executable, "-m", "overtone.benchmarks.serve.bare", *arguments, *device)
        async with Child.running("the bare network", *command) as process:
            rates: Json = json.loads(await process.line(START_SECONDS))
        for stage, rate in rates.items():
            self._keep("bare", stage, "real", rate)
        return rates

    async def _server(self, served: Served, peer: Peer | None) -> None:
        """Start our server, or a peer's, and load each of its endpoints; a peer that fails is noted."""
        group, endpoints = ("ours", OURS) if peer is None else ("peers", (peer.endpoint,))
        starting = our_server(served) if peer is None else peer_server(peer, served, self._workload)
        try:
            async with starting as server:
                for endpoint in endpoints:
                    measured = await self._load(server, endpoint)
                    self._keep(group, endpoint.name, served.network, measured)
        except ChildError as error:
            if peer is None:
                raise
            self._note(f"{peer.name} with the {served.network} network failed: {str(error).splitlines()[-1]}")

    async def _load(self, server: Running, endpoint: Endpoint) -> Json:
        """Load an endpoint; the server's processor time is read when the window begins and when it ends."""
        options = self._options
        async with self._generator(server.addresses[endpoint.kind], endpoint) as generator:
            if (line := await generator.line(START_SECONDS)) != BEGIN:
                raise ChildError(f"the load generator printed {line!r}")
            before = cpu_seconds(server.pid)
            found: Json = json.loads(await generator.line(options.seconds + START_SECONDS))
            used = cpu_seconds(server.pid) - before
        if not found["images"]:
            raise ChildError(f"{endpoint.name} answered no image: {found['failure'] or 'none came back'}")
        found["images_per_second"] = found["images"] / found["seconds"]
        found["cpu_ms_per_image"] = 1000 * used / found["images"]
        return found

    @asynccontextmanager
    async def _generator(self, address: str, endpoint: Endpoint) -> AsyncIterator[Child]:
        options = self._options
        program = (sys.executable, "-m", "overtone.benchmarks.serve.load", endpoint.kind, address)
        load = ("--workload", str(self._workload_file), "--in-flight", str(options.in_flight))
        times = ("--warm-up", str(options.warm_up), "--seconds", str(options.seconds))
        http = ("--path", endpoint.path, "--content-type", endpoint.content_type, "--form", endpoint.form)
        async with Child.running("the load generator", *program, *load, *times, *http) as generator:
            yield generator

    def _keep(self, group: str, name: str, network: Network, measured: Json) -> None:
        self._runs[group, name, network].append(measured)
        self._say(
            f"{name}, {network} network: {measured['images_per_second']:,.0f} images/s, "
            f"{measured['cpu_ms_per_image']:.2f} ms of CPU an image"
        )

    def _note(self, line: str) -> None:
        self._notes.append(line)
        self._say(line)
