"""The pace of chunks that may not be needed: no faster than the link carries them.

Bytes that were handed to a socket cannot be taken back, and a socket takes far more than a thin link carries before
the answer comes. So chunks that nobody has asked for stay here until the link should have room for them.
"""

from overtone.edge_client.policy import PlanSelector, chunk_bytes

# The next chunk is sent while a quarter of a chunk should still be queued, which allows for a late timer.
LEAD = 4
# A pause shorter than this is no pause, as a timer would be late by as much. In seconds.
TICK = 1e-3


class ChunkPacer:
    """Tells when to send the next chunk, and how large it may be."""

    def __init__(self, selector: PlanSelector) -> None:
        self._selector = selector
        self.link = selector.link

    @property
    def chunk(self) -> int:
        """Bytes of the next chunk."""
        return chunk_bytes(self.link.assumed_rate, self._selector.answer_seconds)

    def pause(self, now: float) -> float:
        """Seconds until the link wants another chunk, which is just before it would fall idle."""
        seconds = (self.link.queued_bytes(now) - self.chunk / LEAD) / self.link.assumed_rate
        return seconds if seconds > TICK else 0.0
