"""An estimate of a device's link: its rate, its round trip, and the bytes that are still queued on it.

The link is a queue, first in first out. If a byte takes it p seconds, what is sent at t_1, t_2, ... has left the
queue at

    D_i = max(t_i, D_(i-1)) + p * size_i                                            (Lindley 1952)
        = max over j <= i of (t_j - p * bytes before j) + p * bytes up to i

and the server's first reply to it comes a round trip after D_i. The right p is the one for which all round trips
are equal, whether the link was idle or had many images in its queue. The estimate is the p for which the mean
absolute deviation of the round trips from their median is least, so that a few messages that met a stall do no
harm. On a link that is never idle, the round trip slowly becomes a guess, as it cannot be told apart from a queue
that never ends; one idle moment tells them apart again.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

# How many replies are remembered: enough to outvote a few odd ones, few enough to follow a device that moves.
WINDOW = 32
# How many messages are remembered; between two replies there may be several that nobody replied to.
MESSAGES = 256
# With fewer replies than this, nothing is estimated.
ENOUGH = 4
# Bounds of the estimate in bytes per second. The upper one is reached where larger messages take no longer.
FASTEST = 125e6
SLOWEST = 50.0
# The rate that is assumed before anything is known: 256 kbit/s, little more than LTE-M and the like carry.
FIRST_RATE = 32_000.0
# The values of p that are tried: first over all decades, then twice between the neighbours of the best, which are
# 0.1 % apart in the end.
COARSE, REFINEMENTS = np.geomspace(1 / FASTEST, 1 / SLOWEST, 64), 2
FINE = np.linspace(0.0, 1.0, 33)
# The factors by which values of p are tried in addition that are near the last estimate.
NEAR = np.geomspace(1 / 1.25, 1.25, 33)


class LinkEstimator:
    """Estimates a link from what was sent over it and when the server replied.

    All times are seconds of the same clock, whichever it is.

    Args:
        first_rate: bytes per second to assume before anything is known.
    """

    def __init__(self, first_rate: float = FIRST_RATE) -> None:
        self._first_rate = first_rate
        # For each message, when it was sent, and how many bytes had been sent up to its end.
        self._messages: deque[tuple[float, int]] = deque()
        self._replies: deque[tuple[int, float]] = deque(maxlen=WINDOW)
        self._sent = self._delivered = self._start = 0
        # When the queue was empty of what came before the first message, and will be of the last one.
        self._free_before = self._free = -np.inf
        self._estimate: tuple[float, float] | None = None  # p, and the round trip
        self._outdated = False

    def sent(self, size: int, now: float) -> int:
        """Record that `size` bytes are sent; the result is the offset at which they end."""
        self._free = max(now, self._free) + size * self._seconds_per_byte
        self._sent += size
        self._messages.append((now, self._sent))
        if len(self._messages) > MESSAGES:
            self._forget_message()
        return self._sent

    def delivered(self, end: int) -> None:
        """Record that the server has received everything up to the offset `end`."""
        self._delivered = max(self._delivered, end)

    def replied(self, end: int, at: float) -> None:
        """Record the time of the first reply, less server time, to the message that ends at offset `end`."""
        self.delivered(end)
        self._replies.append((end, at))
        self._outdated = True
        oldest = min(end for end, _ in self._replies)
        while self._messages and self._messages[0][1] < oldest:
            self._forget_message()

    def reset_queue(self) -> None:
        """Forget what is queued, because its connection was given up; the estimates are kept."""
        self._update()
        self._messages.clear()
        self._replies.clear()
        self._start = self._delivered = self._sent
        self._free_before = self._free = -np.inf

    def queued_bytes(self, now: float) -> float:
        """Bytes that were sent and that the link, by the estimate, has not carried yet."""
        self._update()
        return min(max(0.0, self._free - now) / self._seconds_per_byte, self._sent - self._delivered)

    def queued_seconds(self, now: float) -> float:
        """The seconds that the link, by the estimate, needs for `queued_bytes`."""
        return self.queued_bytes(now) * self._seconds_per_byte

    @property
    def rate(self) -> float | None:
        """Bytes per second towards the server; None as long as it is unknown."""
        self._update()
        return 1 / self._estimate[0] if self._estimate else None

    @property
    def assumed_rate(self) -> float:
        """The rate or, as long as it is unknown, that of a thin link."""
        return self.rate or self._first_rate

    @property
    def round_trip(self) -> float:
        """Seconds of a round trip of a message without bytes; 0.0 as long as it is unknown."""
        self._update()
        return self._estimate[1] if self._estimate else 0.0

    @property
    def _seconds_per_byte(self) -> float:
        return self._estimate[0] if self._estimate else 1 / self._first_rate

    def _forget_message(self) -> None:
        """Forget the first message; the time at which it left the queue stays as estimated now."""
        when, end = self._messages.popleft()
        self._free_before = max(when, self._free_before) + (end - self._start) * self._seconds_per_byte
        self._start = end

    def _update(self) -> None:
        if not self._outdated or not self._messages:
            return
        self._outdated = False
        replies = [(end, at) for end, at in self._replies if end > self._start]
        when, ends = (np.array(column, dtype=np.float64) for column in zip(*self._messages, strict=True))
        ends -= self._start
        if len(replies) >= ENOUGH and len(set(np.diff(ends, prepend=0.0).tolist())) > 1:
            self._estimate = self._fit(when, ends, np.array(replies))
        self._free = float(self._departures(np.array([self._seconds_per_byte]), when, ends)[0, -1])

    def _fit(self, when: Numbers, ends: Numbers, replies: Numbers) -> tuple[float, float]:
        """p and the round trip.

        On a busy link the right p is a narrow dip that may lie between the values tried over all decades, so values
        near the last estimate are tried as well.
        """
        at = np.searchsorted(ends, replies[:, 0] - self._start)

        def best(tried: Numbers, refinements: int) -> tuple[float, float, float]:
            trips = np.sort(replies[:, 1] - self._departures(tried, when, ends)[:, at], axis=1)
            middle = (trips[:, (len(at) - 1) // 2] + trips[:, len(at) // 2]) / 2
            loss = np.abs(trips - middle[:, None]).sum(axis=1)
            i = int(loss.argmin())
            if refinements:
                low, high = tried[max(0, i - 1)], tried[min(len(tried) - 1, i + 1)]
                return best(low * (high / low) ** FINE, refinements - 1)
            return float(loss[i]), float(tried[i]), max(0.0, float(middle[i]))

        found = best(COARSE, REFINEMENTS)
        if self._estimate:
            found = min(found, best(self._estimate[0] * NEAR, REFINEMENTS - 1))
        return found[1:]

    def _departures(self, tried: Numbers, when: Numbers, ends: Numbers) -> Numbers:
        """D float64[values of p, messages]."""
        before = np.concatenate([[0.0], ends[:-1]])
        begun = np.maximum.accumulate(when - tried[:, None] * before, axis=1)
        return np.maximum(begun, self._free_before) + tried[:, None] * ends
