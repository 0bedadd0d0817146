"""A watchdog that ends a process which does not stop by itself."""

import logging
import os
import threading

from overtone.gpu_server.settings import Settings

log = logging.getLogger(__name__)

# Seconds that stopping may take after `pause` and `drain`. The three together stay below Docker's ten.
SHUTDOWN_SECONDS = 2.0


def shutdown_watchdog(settings: Settings) -> threading.Timer:
    """A timer that ends the process if it has not stopped in time; start it when the process is asked to stop."""
    timer = threading.Timer(settings.pause + settings.drain + SHUTDOWN_SECONDS, _give_up)
    timer.daemon = True
    return timer


def _give_up() -> None:
    """End the process, even if a thread hangs in a driver or the event loop stands still."""
    log.critical("still not stopped; what was in flight is lost")
    os._exit(1)
