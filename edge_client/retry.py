"""Time limits, and pauses before something is tried again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from overtone.edge_client.errors import DeadlineExceeded, OvertoneError

# How often one image is offered to a busy server, however much time is left.
MAX_ATTEMPTS = 4
# Pauses before each attempt to reach the server. At first they are short, as nobody wants to wait long because of
# a wrong address; they are longer when the server was there before and may be restarting.
FIRST_PAUSES = (0.0, 0.1, 0.3)
PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0)


@contextlib.asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """Cancel the block after so many seconds.

    Raises:
        DeadlineExceeded: the time was up; the message begins with `what`.
    """
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineExceeded(f"{what} within {seconds:g} s") from error


async def pause(error: OvertoneError, deadline: float, attempts: int) -> None:
    """Wait as long as the server asked for in `error`.

    Raises:
        OvertoneError: `error` itself, if the server named no time, the deadline (by the event loop's clock)
            comes first, or no attempt is left.
    """
    wait = error.retry_after
    if wait is None or attempts <= 0 or asyncio.get_running_loop().time() + wait >= deadline:
        raise error
    await asyncio.sleep(max(wait, 0.01))
