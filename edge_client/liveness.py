"""Whether the connection of a session is still alive.

A TCP connection stays open for minutes after its path or the machine at its other end has vanished. gRPC's keepalive
notices that after 80 seconds, when most images have run out of time. So if the server has said nothing for a third of
an image's time limit, the client makes a small call on the same connection, the probe. A server that is only slow
replies to it. If no reply comes either, the connection is dead, and half of the time limit is left to send the image
again on a new one.
"""

import asyncio
from collections.abc import Awaitable, Callable

from overtone.edge_client.clock import loop_time
from overtone.edge_client.link_estimator import LinkEstimator

# The fraction of an image's time limit after which a silent server is probed.
FRACTION = 1 / 3
# The reply to the probe may take this fraction of the silence before it.
PROBE = 1 / 2
# The server is never probed after less than so many seconds, however short the time limit is.
SHORTEST = 0.5
# Nor after less than so many times what it took to open the session, which is some round trips and half a kilobyte.
OPENINGS = 3
# Seconds that are not worth a timer.
TICK = 1e-3


class Liveness:
    """Counts for how long the server has been silent while images waited, and probes it when that is too long.

    Args:
        link: the server cannot have replied to what is still queued there.
        opening: the seconds that it took to open the session.
        probe: asks the server something on the same connection, and returns when it has replied.
    """

    def __init__(self, link: LinkEstimator, opening: float, probe: Callable[[], Awaitable[object]]) -> None:
        self._link = link
        self._opening = opening
        self._probe = probe
        self._limits: dict[int, float] = {}
        self._waiting = asyncio.Event()
        self._since = 0.0  # when the present silence began, if images wait
        self._before = 0.0  # silence while images waited that have been given up since

    def begin(self, number: int, time_limit: float) -> None:
        """Record that an image waits from now on."""
        if not self._limits:
            self._since = loop_time()
        self._limits[number] = time_limit
        self._waiting.set()

    def end(self, number: int) -> None:
        """Record that an image no longer waits."""
        self._before = self.silence
        self._since = loop_time()
        del self._limits[number]
        if not self._limits:
            self._waiting.clear()

    def heard(self) -> None:
        """Record that the server has sent something."""
        self._before, self._since = 0.0, loop_time()

    @property
    def silence(self) -> float:
        """The seconds during which images have waited since the server last sent something."""
        return self._before + (loop_time() - self._since if self._limits else 0.0)

    async def dead(self) -> None:
        """Return when the connection is dead."""
        while True:
            await self._waiting.wait()
            patience = max(SHORTEST, OPENINGS * self._opening, FRACTION * min(self._limits.values()))
            left = max(patience - self.silence, self._link.queued_seconds(loop_time()))
            if left > TICK:
                await asyncio.sleep(left)
            elif not await self._replies(PROBE * patience):
                return

    async def _replies(self, seconds: float) -> bool:
        silence = self.silence
        try:
            async with asyncio.timeout(seconds):
                await self._probe()
        except TimeoutError:
            return self.silence < silence  # it may have sent something else
        self.heard()
        return True
