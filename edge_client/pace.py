"""How fast to hand over what may yet prove needless: no faster than the link carries it.

Bytes handed to a socket cannot be taken back, and a socket takes far more than a thin link carries before the
answer comes. So what nobody has asked for stays here until the link should have room for it.
"""

from overtone.edge_client.policy import Chooser

SMALLEST, LARGEST = 256, 16 * 1024
# What is under way when the answer comes is wasted, and each chunk costs some thirty bytes of headers: an
# eighth of what the link carries until then adds little to either.
CHUNKS = 8
# The next chunk goes when a quarter of one should still wait: time enough for a timer that is late.
LEAD = 4
# Seconds that no timer is worth: it would be late by as much.
TICK = 1e-3


class Pace:
    """When to hand over the next chunk, and how much, by what is known of the link.

    Args:
        chooser: what knows the link, and how long answers take.
    """

    def __init__(self, chooser: Chooser) -> None:
        self._chooser = chooser
        self.link = chooser.link

    @property
    def chunk(self) -> int:
        """Bytes of the next chunk."""
        fits = int(self.link.assumed * self._chooser.answer_seconds / CHUNKS)
        return max(SMALLEST, min(LARGEST, fits))

    def pause(self, now: float) -> float:
        """Seconds until the link wants another chunk: just before it would fall idle."""
        seconds = (self.link.waiting(now) - self.chunk / LEAD) / self.link.assumed
        return seconds if seconds > TICK else 0.0
