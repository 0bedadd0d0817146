"""`overtone bench replicas`: what devices lose when one of two servers behind nginx is killed."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from overtone.benchmarks.child import Child, ChildError, stop_on_signals
from overtone.benchmarks.devices import Device, figures, print_figures
from overtone.benchmarks.faults.honest import TRANSPORTS
from overtone.benchmarks.figure import Figure
from overtone.benchmarks.free_ports import free_ports
from overtone.benchmarks.replicas import nginx
from overtone.benchmarks.server import started

# The network is a stub that takes so many milliseconds, so that images are in flight when a server is killed.
DEVICE = "stub:20"
# Devices over each transport.
DEVICES = 2
START_SECONDS = 10.0


def run(model: str, kills: int, seconds: float, as_json: bool) -> int:
    """Kill one server after the other, so many times, and return 1 if an image was lost.

    Raises:
        ChildError: a server or nginx did not start.
    """
    if shutil.which("nginx") is None:
        raise ChildError("nginx is not installed")
    found = asyncio.run(_measure(model, kills, seconds))
    if as_json:
        print(json.dumps([asdict(figure) for figure in found]))
    else:
        print_figures(found)
    return 0 if all(figure.good for figure in found) else 1


async def _measure(model: str, kills: int, seconds: float) -> list[Figure]:
    stop_on_signals()
    ports = free_ports(6)
    front, *replicas = zip(ports[::2], ports[1::2], strict=True)
    with tempfile.TemporaryDirectory(prefix="overtone-nginx-") as folder:
        async with AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(_server(model, grpc, http)) for grpc, http in replicas]
            command = nginx.command(Path(folder), front, replicas)
            await stack.enter_async_context(Child.running("nginx", *command))
            for port in front:
                await _accepts(port)
            over = asyncio.Event()
            addresses = {each: f"127.0.0.1:{port}" for each, port in zip(TRANSPORTS, front, strict=True)}
            devices = [Device(each, addresses[each]) for each in TRANSPORTS for _ in range(DEVICES)]
            running = [asyncio.create_task(device.run(over)) for device in devices]
            try:
                for number in range(kills):
                    await asyncio.sleep(seconds)
                    killed = number % len(servers)
                    os.kill(servers[killed].pid, signal.SIGKILL)
                    await asyncio.sleep(seconds)
                    servers[killed] = await stack.enter_async_context(_server(model, *replicas[killed]))
                await asyncio.sleep(seconds)
            finally:
                over.set()
                await asyncio.gather(*running)
    return figures("killed", devices)


@asynccontextmanager
async def _server(model: str, grpc: int, http: int) -> AsyncIterator[Child]:
    ports = ("--grpc-port", str(grpc), "--http-port", str(http))
    async with started(model, "--device", DEVICE, *ports) as (server, _):
        yield server


async def _accepts(port: int) -> None:
    """Wait until something listens."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return
    raise ChildError("nginx did not start")
