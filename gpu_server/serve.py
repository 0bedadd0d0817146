"""The entry point of `overtone serve`: one process, several, or a Ray cluster, until SIGINT or SIGTERM."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable

from overtone.gpu_server.errors import StartError
from overtone.gpu_server.running import Running, running
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.system import garbage_collector
from overtone.gpu_server.system.event_loop import run_loop
from overtone.gpu_server.system.open_files import AcceptErrorFilter
from overtone.gpu_server.system.shutdown import shutdown_watchdog
from overtone.gpu_server.telemetry import logs
from overtone.gpu_server.workers.supervisor import run_workers, worker_count

__all__ = ["Running", "run", "running"]


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; a second signal ends the process at once.

    Raises:
        SystemExit: the server cannot start; the reason is on standard error.
    """
    logs.configure(settings.log_level, settings.log_format, settings.access_log)
    logging.getLogger("asyncio").addFilter(AcceptErrorFilter())
    try:
        if settings.ray:
            from overtone.gpu_server.cluster.serve import run_on_ray  # Ray is optional, and slow to import

            run_on_ray(settings)
        elif (count := worker_count(settings)) > 1:
            run_workers(settings, count)
        else:
            _run_alone(settings)
    except StartError as error:
        print(f"overtone: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        garbage_collector.freeze()  # the process is about to end


def _run_alone(settings: Settings) -> None:
    watchdog = shutdown_watchdog(settings)
    try:
        run_loop(_serve(settings, watchdog.start))
    finally:
        watchdog.cancel()


async def _serve(settings: Settings, on_stop: Callable[[], None]) -> None:
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            raise SystemExit(130)
        stop.set()
        on_stop()

    with contextlib.suppress(NotImplementedError):  # on Windows event loops have no signal handlers
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
        loop.add_signal_handler(signal.SIGHUP, reload.set)
    async with running(settings) as server:
        garbage_collector.collect_and_freeze()
        if stop.is_set():
            return
        print(server.lines, flush=True)
        reloading = asyncio.create_task(server.reload.reload_on(reload), name="overtone-hangup")
        await stop.wait()
        reloading.cancel()
