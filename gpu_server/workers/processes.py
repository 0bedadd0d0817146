"""The main functions of a server's child processes, faces and the engine; both stop when the supervisor dies."""

import asyncio
import contextlib
import logging
import multiprocessing
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from overtone.gpu_server.errors import StartError
from overtone.gpu_server.networks.torch_network import open_networks
from overtone.gpu_server.running import running
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.system import garbage_collector
from overtone.gpu_server.system.event_loop import run_loop
from overtone.gpu_server.system.open_files import AcceptErrorFilter
from overtone.gpu_server.system.shutdown import shutdown_watchdog
from overtone.gpu_server.telemetry import logs
from overtone.gpu_server.telemetry.metrics import Metrics
from overtone.gpu_server.workers.child import BLOCKED
from overtone.gpu_server.workers.engine_server import EngineServer
from overtone.gpu_server.workers.face import Face
from overtone.gpu_server.workers.generation import Generation

# Seconds between two samples of the queue depths, for metrics.
SAMPLING = 1.0


@dataclass
class _Signals:
    """The signals that a process has got, as events.

    Attributes:
        ready: whether the process serves; before, SIGTERM ends it without waiting for anything.
        stop: SIGTERM, or the death of the supervisor: stop.
        reload: SIGHUP: read files again.
        retire: SIGUSR1: stop once no process is connected.
    """

    ready: bool = False
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    retire: asyncio.Event = field(default_factory=asyncio.Event)


def run_face(settings: Settings, face: Face, supervisor: Connection) -> None:
    """Serve as a face until SIGTERM; sends the supervisor ("ready", lines to print) or ("error", message)."""

    async def serve(signals: _Signals) -> None:
        async with running(face.share(settings), face) as server:
            signals.ready = True
            garbage_collector.collect_and_freeze()
            supervisor.send(("ready", server.lines if face.first else ""))
            async with _background(_sample(server.service.metrics), server.reload.reload_on(signals.reload)):
                await signals.stop.wait()

    _run(f"overtone-face-{face.number}", settings, supervisor, serve)


def run_engine(settings: Settings, generation: Generation, supervisor: Connection) -> None:
    """Run the images of all faces until SIGTERM or SIGUSR1, and then as long as faces are connected.

    Sends the supervisor ("ready", "") or ("error", message).
    """

    async def serve(signals: _Signals) -> None:
        async with _engine(settings, generation) as server:
            signals.ready = True
            garbage_collector.collect_and_freeze()
            supervisor.send(("ready", ""))
            await _first(signals.stop.wait(), signals.retire.wait())
            await server.wait_until_unused()

    _run("overtone-engine", settings, supervisor, serve)


@asynccontextmanager
async def _engine(settings: Settings, generation: Generation) -> AsyncIterator[EngineServer]:
    try:
        networks, _ = open_networks(generation.model, settings)
        server = EngineServer(networks, Metrics(), settings, generation.socket)
        await server.start()
    except (ValueError, RuntimeError) as error:
        why = str(error).replace(str(generation.model), settings.model)  # users do not know of the copy
        raise StartError(f"cannot serve {settings.model}: {why}") from error
    try:
        yield server
    finally:
        await server.stop()


async def _sample(metrics: Metrics) -> None:
    while True:
        metrics.sample()
        await asyncio.sleep(SAMPLING)


@asynccontextmanager
async def _background(*endless: Awaitable[None]) -> AsyncIterator[None]:
    """Run these in tasks while inside, and cancel them on leaving."""
    tasks = [asyncio.ensure_future(each) for each in endless]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first(*awaitables: Awaitable[object]) -> None:
    """Wait for the first of these, and cancel the others; an exception of the first is raised."""
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    for task in done:
        task.result()


def _run(
    name: str, settings: Settings, supervisor: Connection, serve: Callable[[_Signals], Awaitable[None]]
) -> None:
    """Set up the process, then run `serve` in an event loop; a `StartError` goes to the supervisor."""
    # Ctrl-C reaches all processes of a terminal; the supervisor decides when the others stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # only Linux has it
        Path("/proc/self/comm").write_text(name)
    logs.configure(settings.log_level, settings.log_format, settings.access_log)
    logging.getLogger("asyncio").addFilter(AcceptErrorFilter())
    watchdog = shutdown_watchdog(settings)
    try:
        run_loop(_with_signals(serve, watchdog.start))
    except StartError as error:
        with contextlib.suppress(OSError):
            supervisor.send(("error", str(error)))
        raise SystemExit(1) from None
    finally:
        watchdog.cancel()
        garbage_collector.freeze()


async def _with_signals(serve: Callable[[_Signals], Awaitable[None]], on_stop: Callable[[], None]) -> None:
    """Run `serve` with signal handlers that set its events; call `on_stop` when it is first asked to stop."""
    signals, loop = _Signals(), asyncio.get_running_loop()
    serving = asyncio.ensure_future(serve(signals))

    def stop() -> None:
        if not signals.stop.is_set():
            signals.stop.set()
            on_stop()
            if not signals.ready:
                serving.cancel()

    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGHUP, signals.reload.set)
    loop.add_signal_handler(signal.SIGUSR1, signals.retire.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def on_orphaned() -> None:
        loop.remove_reader(parent.sentinel)
        stop()

    loop.add_reader(parent.sentinel, on_orphaned)
    with contextlib.suppress(asyncio.CancelledError):
        await serving
