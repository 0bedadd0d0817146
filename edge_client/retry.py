"""Time limits, and pauses before something is tried again."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

from overtone.edge_client.errors import DeadlineExceeded, OvertoneError, Refused

# Pauses before each attempt to reach the server. At first they are short, as nobody wants to wait long because of
# a wrong address; they are longer when the server was there before and may be restarting.
FIRST_PAUSES = (0.0, 0.1, 0.3)
PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0)
# Seconds before an image that no server answered is sent again: at first, and at most. They double each time.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 5.0
# With less time left than this, nothing is tried again.
TOO_LATE = 0.02


@contextlib.asynccontextmanager
async def within(seconds: float, what: str, retries: "Retries | None" = None) -> AsyncIterator[None]:
    """Cancel the block after so many seconds.

    Raises:
        DeadlineExceeded: the time was up; the message begins with `what`, and names what was tried again last.
    """
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        why = f" ({retries.last.what})" if retries and retries.last else ""
        raise DeadlineExceeded(f"{what} within {seconds:g} s{why}") from error


class Retries:
    """The pauses between attempts at one thing, until a deadline by the event loop's clock.

    An attempt that failed because no server could be reached, or because one was starting, stopping or busy, is
    repeated as long as there is time: after the pause that the server or a proxy asked for, or else after exponential
    backoff with jitter, so that devices do not all return to a server at once. A busy server is asked again only if it
    said when, and less and less often, as each attempt costs a payload.

    Attributes:
        last: the error after which it was tried again last.
    """

    def __init__(self, deadline: float) -> None:
        self.last: OvertoneError | None = None
        self._deadline = deadline
        self._tries = 0

    async def pause(self, error: OvertoneError) -> None:
        """Wait until it is time to try again.

        Raises:
            OvertoneError: `error` itself, if there is no time or it is not to be tried again.
        """
        self.last = error
        wait, left = self._wait(error), self._deadline - asyncio.get_running_loop().time()
        if wait is None or (error.retry_after or TOO_LATE) >= left:
            raise error
        await asyncio.sleep(min(wait, left / 2) if error.retry_after is None else min(wait, left))

    def _wait(self, error: OvertoneError) -> float | None:
        asked: float | None = error.retry_after
        busy = isinstance(error, Refused)
        if busy and asked is None:
            return None
        self._tries += 1
        backoff = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._tries - 1, 30))
        if busy and asked is not None:
            return float(max(asked, backoff) * random.uniform(1.0, 1.1))
        # No sooner than asked, but not all at the same moment either.
        return backoff * random.uniform(0.5, 1.0) if asked is None else asked * random.uniform(1.0, 1.1)
