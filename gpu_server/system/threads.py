"""Threads: how many cores there are for them, and calls from a thread into the event loop."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")


def cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def call_in_loop(
    loop: asyncio.AbstractEventLoop, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs
) -> None:
    """Have the event loop call a function soon, from any thread; no effect once the loop is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(lambda: function(*args, **kwargs))
