"""The processes of a server with workers: faces, and the engine. Both end when the process that started them does."""

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
from overtone.gpu_server.system import garbage
from overtone.gpu_server.system.ending import last_resort
from overtone.gpu_server.system.loops import run_loop
from overtone.gpu_server.system.open_files import OncePerMinute
from overtone.gpu_server.telemetry import logs
from overtone.gpu_server.telemetry.metrics import Metrics
from overtone.gpu_server.workers.child import BLOCKED
from overtone.gpu_server.workers.edition import Edition
from overtone.gpu_server.workers.engine_server import EngineServer
from overtone.gpu_server.workers.face import Face

# Seconds between two looks at how many images wait, for metrics.
SAMPLING = 1.0


@dataclass
class _Told:
    """What a process has been told: to end, to read files again, to end once nobody needs it.

    Attributes:
        ready: whether it serves; if not, it need not wait for anything when it is told to stop.
    """

    ready: bool = False
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    again: asyncio.Event = field(default_factory=asyncio.Event)
    leave: asyncio.Event = field(default_factory=asyncio.Event)


def run_face(settings: Settings, face: Face, news: Connection) -> None:
    """Serve until SIGTERM."""

    async def serve(told: _Told) -> None:
        async with running(face.share(settings), face) as server:
            told.ready = True
            garbage.collect_and_keep()
            news.send(("ready", server.lines if face.first else ""))
            async with _beside(_sample(server.service.metrics), server.reload.whenever(told.again)):
                await told.stop.wait()

    _run(f"overtone-face-{face.number}", settings, news, serve)


def run_engine(settings: Settings, edition: Edition, news: Connection) -> None:
    """Run the images of all faces until SIGTERM; after SIGTERM or SIGUSR1, as long as faces are connected."""

    async def serve(told: _Told) -> None:
        async with _engine(settings, edition) as server:
            told.ready = True
            garbage.collect_and_keep()
            news.send(("ready", ""))
            await _first(told.stop.wait(), told.leave.wait())
            await server.unused()

    _run("overtone-engine", settings, news, serve)


@asynccontextmanager
async def _engine(s: Settings, edition: Edition) -> AsyncIterator[EngineServer]:
    try:
        networks, _ = open_networks(edition.model, s)
        server = EngineServer(networks, Metrics(), s, edition.socket)
        await server.start()
    except (ValueError, RuntimeError) as error:
        why = str(error).replace(str(edition.model), s.model)  # nobody else knows of the copy
        raise StartError(f"cannot serve {s.model}: {why}") from error
    try:
        yield server
    finally:
        await server.stop()


async def _sample(metrics: Metrics) -> None:
    while True:
        metrics.sample()
        await asyncio.sleep(SAMPLING)


@asynccontextmanager
async def _beside(*endless: Awaitable[None]) -> AsyncIterator[None]:
    """Run these while inside."""
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


def _run(name: str, settings: Settings, news: Connection, serve: Callable[[_Told], Awaitable[None]]) -> None:
    # Ctrl-C reaches all processes of a terminal; the one that was started by hand says when the others stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # only Linux has it
        Path("/proc/self/comm").write_text(name)
    logs.configure(settings.log_level, settings.log_format, settings.access_log)
    logging.getLogger("asyncio").addFilter(OncePerMinute())
    ending = last_resort(settings)
    try:
        run_loop(_until_told(serve, ending.start))
    except StartError as error:
        with contextlib.suppress(OSError):
            news.send(("error", str(error)))
        raise SystemExit(1) from None
    finally:
        ending.cancel()
        garbage.keep()


async def _until_told(serve: Callable[[_Told], Awaitable[None]], on_stop: Callable[[], None]) -> None:
    told, loop = _Told(), asyncio.get_running_loop()
    serving = asyncio.ensure_future(serve(told))

    def end() -> None:
        if not told.stop.is_set():
            told.stop.set()
            on_stop()
            if not told.ready:
                serving.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
    loop.add_signal_handler(signal.SIGHUP, told.again.set)
    loop.add_signal_handler(signal.SIGUSR1, told.leave.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def orphaned() -> None:
        loop.remove_reader(parent.sentinel)
        end()

    loop.add_reader(parent.sentinel, orphaned)
    with contextlib.suppress(asyncio.CancelledError):
        await serving
