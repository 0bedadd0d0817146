"""The end of a process, which comes in any case."""

import logging
import os
import threading

from overtone.gpu_server.settings import Settings

log = logging.getLogger(__name__)

# Seconds that the whole end may take after pausing and draining. Together they stay below Docker's ten.
ENDING = 2.0


def last_resort(settings: Settings) -> threading.Timer:
    """What ends the process that has been told to stop and does not; it has to be started then."""
    timer = threading.Timer(settings.pause + settings.drain + ENDING, _give_up)
    timer.daemon = True
    return timer


def _give_up() -> None:
    """End the process, even if a thread hangs in a driver or the event loop stands still."""
    log.critical("still not stopped; what was in flight is lost")
    os._exit(1)
