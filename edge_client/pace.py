"""How fast to hand over what may yet prove needless: no faster than the link carries it.

Bytes handed to a socket cannot be taken back, and a socket takes far more than a thin link carries before the
answer comes. So what nobody has asked for stays here until the link should have room for it.
"""

from edge_client.policy import Chooser

# Of a link that has not been measured yet: 256 kbit/s, not much above what LTE-M and the like carry.
FIRST_RATE = 32_000.0
SMALLEST, LARGEST = 256, 16 * 1024
# What is under way when the answer comes is wasted, and each chunk costs some thirty bytes of headers: an
# eighth of what the link carries until then adds little to either.
CHUNKS = 8
# The next chunk goes when a quarter of one should still wait: time enough for a timer that is late.
LEAD = 4


class Pace:
    """What should still wait on the link, by what is known of its rate; times are seconds of any one clock.

    Args:
        chooser: what knows the rate.
    """

    def __init__(self, chooser: Chooser) -> None:
        self._chooser = chooser
        self._handed = self._arrived = 0
        self._left = self._at = 0.0

    @property
    def chunk(self) -> int:
        """Bytes of the next chunk."""
        fits = int(self._rate * self._chooser.answer_seconds / CHUNKS)
        return max(SMALLEST, min(LARGEST, fits))

    def hand(self, size: int, now: float) -> int:
        """`size` bytes go to the link; all that went so far, for `arrived`."""
        self._left, self._at = self.waiting(now) + size, now
        self._handed += size
        return self._handed

    def arrived(self, handed: int) -> None:
        """The server has said something that it could not say before it had the first `handed` bytes."""
        self._arrived = max(self._arrived, handed)

    def waiting(self, now: float) -> float:
        """Bytes that the link should not have carried yet."""
        by_rate = max(0.0, self._left - self._rate * (now - self._at))
        return min(by_rate, self._handed - self._arrived)

    def pause(self, now: float) -> float:
        """Seconds until the link wants another chunk: just before it would fall idle."""
        return max(0.0, self.waiting(now) - self.chunk / LEAD) / self._rate

    @property
    def _rate(self) -> float:
        return self._chooser.rate or FIRST_RATE
