"""The processes of a server with workers: faces, and the engine. Both end when the process that started them does."""

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from overtone.gpu_server import logs
from overtone.gpu_server.ending import last_resort
from overtone.gpu_server.engine_server import EngineServer
from overtone.gpu_server.errors import StartError
from overtone.gpu_server.face import Face, engine_socket
from overtone.gpu_server.loops import run
from overtone.gpu_server.metrics import Metrics
from overtone.gpu_server.network import open_network
from overtone.gpu_server.open_files import OncePerMinute
from overtone.gpu_server.reload import Reloader
from overtone.gpu_server.settings import Settings

# Seconds between two looks at how many images wait, for metrics.
SAMPLING = 1.0


def run_face(settings: Settings, face: Face, news: Connection) -> None:
    """Serve until SIGTERM."""
    from overtone.gpu_server.serve import running

    async def serve(stop: asyncio.Event) -> None:
        async with running(face.share(settings), face) as server:
            _keep()
            news.send(("ready", str(server) if face.first else ""))
            sampling = asyncio.create_task(_sample(server.service.metrics), name="overtone-sampling")
            rereading = asyncio.create_task(_reload_whenever(hangup, server.reload), name="overtone-hangup")
            await stop.wait()
            sampling.cancel()
            rereading.cancel()

    hangup = asyncio.Event()
    _run(settings, news, serve, hangup)


def run_engine(settings: Settings, directory: Path, news: Connection) -> None:
    """Run the images of all faces until SIGTERM."""

    async def serve(stop: asyncio.Event) -> None:
        async with _engine(settings, directory):
            _keep()
            news.send(("ready", ""))
            await stop.wait()

    _run(settings, news, serve)


@asynccontextmanager
async def _engine(settings: Settings, directory: Path) -> AsyncIterator[None]:
    try:
        s = settings
        networks = [
            open_network(s.model, device, s.batch_sizes, s.threads, s.cuda_graphs)[0] for device in s.devices
        ]
        server = EngineServer(networks, Metrics(), settings, engine_socket(directory))
        await server.start()
    except (ValueError, RuntimeError) as error:
        raise StartError(f"cannot serve {settings.model}: {error}") from error
    try:
        yield
    finally:
        await server.stop()


def _keep() -> None:
    """What was made so far stays; looking through all of torch's objects for garbage would stop the loop for long."""
    gc.collect()
    gc.freeze()


async def _reload_whenever(hangup: asyncio.Event, reload: Reloader) -> None:
    while True:
        await hangup.wait()
        hangup.clear()
        await reload.everything()


async def _sample(metrics: Metrics) -> None:
    while True:
        metrics.sample()
        await asyncio.sleep(SAMPLING)


def _run(
    settings: Settings,
    news: Connection,
    serve: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    hangup: asyncio.Event | None = None,
) -> None:
    # Ctrl-C reaches all processes of a terminal; the one that was started by hand says when the others stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.configure(settings.log_level, settings.log_format, settings.access_log)
    logging.getLogger("asyncio").addFilter(OncePerMinute())
    ending = last_resort(settings)
    try:
        run(_until_told(serve, ending.start, hangup or asyncio.Event()))
    except StartError as error:
        with contextlib.suppress(OSError):
            news.send(("error", str(error)))
        raise SystemExit(1) from None
    finally:
        ending.cancel()
        gc.freeze()  # searching for garbage before the end would take a busy machine seconds


async def _until_told(
    serve: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    on_stop: Callable[[], None],
    hangup: asyncio.Event,
) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def end() -> None:
        if not stop.is_set():
            stop.set()
            on_stop()

    loop.add_signal_handler(signal.SIGTERM, end)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    # It was blocked when this process was started, so that it could not end it before.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    parent = multiprocessing.parent_process()
    assert parent is not None

    def orphaned() -> None:
        loop.remove_reader(parent.sentinel)
        end()

    loop.add_reader(parent.sentinel, orphaned)
    # Told to stop while it starts, it does not wait until it has started.
    serving, told = asyncio.ensure_future(serve(stop)), asyncio.ensure_future(stop.wait())
    await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    await serving
