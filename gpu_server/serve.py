"""`overtone serve`: one process, or several, until they are told to stop."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable

from overtone.gpu_server.errors import StartError
from overtone.gpu_server.running import Running, running
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.system import garbage
from overtone.gpu_server.system.ending import last_resort
from overtone.gpu_server.system.loops import run_loop
from overtone.gpu_server.system.open_files import OncePerMinute
from overtone.gpu_server.telemetry import logs
from overtone.gpu_server.workers.supervisor import run_workers, worker_count

__all__ = ["Running", "run", "running"]


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; a second signal ends the process at once.

    Raises:
        SystemExit: the server cannot start; the reason is on standard error.
    """
    logs.configure(settings.log_level, settings.log_format, settings.access_log)
    logging.getLogger("asyncio").addFilter(OncePerMinute())
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
        garbage.keep()  # the process is about to end


def _run_alone(settings: Settings) -> None:
    ending = last_resort(settings)
    try:
        run_loop(_serve(settings, ending.start))
    finally:
        ending.cancel()


async def _serve(settings: Settings, on_stop: Callable[[], None]) -> None:
    stop, again = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            raise SystemExit(130)
        stop.set()
        on_stop()

    with contextlib.suppress(NotImplementedError):  # on Windows event loops have no signal handlers
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
        loop.add_signal_handler(signal.SIGHUP, again.set)
    async with running(settings) as server:
        garbage.collect_and_keep()
        if stop.is_set():
            return
        print(server.lines, flush=True)
        reloading = asyncio.create_task(server.reload.whenever(again), name="overtone-hangup")
        await stop.wait()
        reloading.cancel()
