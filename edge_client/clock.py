"""The clock of the event loop, by which the client measures all times."""

import asyncio


def loop_time() -> float:
    """Seconds by the running event loop's clock."""
    return asyncio.get_running_loop().time()
