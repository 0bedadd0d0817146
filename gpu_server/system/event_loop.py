"""The event loop of a server process: uvloop where it is installed, else asyncio's."""

import asyncio
from collections.abc import Coroutine
from typing import Any

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end in an event loop of its own."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)
