"""Telling the event loop something from another thread."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")


def tell(
    loop: asyncio.AbstractEventLoop, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs
) -> None:
    """Have the event loop call a function soon; no effect once the loop is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(lambda: function(*args, **kwargs))
