"""What a device knows of its link: how fast it is, how long its round trip, and what still waits on it.

The link is a queue, first in first out. If a byte takes it p seconds, what is handed over at t_1, t_2, ...
has left it at

    D_i = max(t_i, D_(i-1)) + p * size_i                                            (Lindley 1952)
        = max over j <= i of (t_j - p * bytes before j) + p * bytes up to i

and the server's first word on it comes a round trip after D_i. So that p is right under which all round trips
are the same, whether the link was idle or many images stood on it. The best is the p of the least mean
absolute deviation from the median round trip: some messages that met a stall do no harm. Of a link that is
never idle the round trip slowly becomes a guess, as a queue that never ends looks like it; one idle moment
tells them apart again.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

# Replies: enough to outlast a few odd ones; few enough to follow a device that moves.
WINDOW = 32
# Pieces: the replies' images in chunks, and what went for nothing between them.
PIECES = 256
# Beneath this many replies a link may be anything.
ENOUGH = 4
# Bytes a second. Faster than any link that is worth measuring; it stands for "no longer for larger messages".
FASTEST = 125e6
SLOWEST = 50.0
# Of a link that has not been measured yet: 256 kbit/s, not much above what LTE-M and the like carry.
FIRST_RATE = 32_000.0
# Paces tried in all decades at once, then between the neighbours of the best, twice: 0.1 % apart in the end.
COARSE, FINE, TIMES = 64, 33, 2
# Of what was known, to either side.
NEAR = 1.25


class Link:
    """Pieces handed over, and when the server spoke of them; times are seconds of any one clock."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[float, int]] = deque()  # when, and bytes handed over up to its end
        self._replies: deque[tuple[int, float]] = deque(maxlen=WINDOW)
        self._handed = self._arrived = self._start = 0
        # When what is before the first piece has left, and what is up to the last.
        self._free_before = self._free = -np.inf
        self._known: tuple[float, float] | None = None  # p, and the round trip
        self._stale = False

    def hand(self, size: int, now: float) -> int:
        """`size` bytes are handed over; all that were so far, by which `replied` knows them."""
        self._free = max(now, self._free) + size * self._seconds_per_byte
        self._handed += size
        self._pieces.append((now, self._handed))
        if len(self._pieces) > PIECES:
            self._forget()
        return self._handed

    def arrived(self, end: int) -> None:
        """The server has said something that it could not say before it had all up to `end`."""
        self._arrived = max(self._arrived, end)

    def replied(self, end: int, at: float) -> None:
        """To what ends there the server's first word came `at` that time, its own time taken off."""
        self.arrived(end)
        self._replies.append((end, at))
        self._stale = True
        oldest = min(end for end, _ in self._replies)
        while self._pieces and self._pieces[0][1] < oldest:
            self._forget()

    def emptied(self) -> None:
        """The connection was given up, and with it what waited; the link is thought to be as it was."""
        self._refit()
        self._pieces.clear()
        self._replies.clear()
        self._start = self._arrived = self._handed
        self._free_before = self._free = -np.inf

    def waiting(self, now: float) -> float:
        """Bytes handed over that the link should not have carried yet."""
        self._refit()
        return min(max(0.0, self._free - now) / self._seconds_per_byte, self._handed - self._arrived)

    @property
    def rate(self) -> float | None:
        """Bytes per second towards the server; None as long as nobody can tell."""
        self._refit()
        return 1 / self._known[0] if self._known else None

    @property
    def assumed(self) -> float:
        """The rate, or a thin link's as long as nobody can tell."""
        return self.rate or FIRST_RATE

    @property
    def round_trip(self) -> float:
        """Seconds for a message without bytes; 0.0 as long as nobody can tell."""
        self._refit()
        return self._known[1] if self._known else 0.0

    @property
    def _seconds_per_byte(self) -> float:
        return self._known[0] if self._known else 1 / FIRST_RATE

    def _forget(self) -> None:
        """The first piece; when it left stays what is thought now, whatever the link is found to be later."""
        when, end = self._pieces.popleft()
        self._free_before = max(when, self._free_before) + (end - self._start) * self._seconds_per_byte
        self._start = end

    def _refit(self) -> None:
        if not self._stale or not self._pieces:
            return
        self._stale = False
        replies = [(end, at) for end, at in self._replies if end > self._start]
        when, ends = (np.array(column, dtype=np.float64) for column in zip(*self._pieces, strict=True))
        ends -= self._start
        if len(replies) >= ENOUGH and len(set(np.diff(ends, prepend=0.0).tolist())) > 1:
            self._known = self._fit(when, ends, np.array(replies))
        self._free = float(self._left(np.array([self._seconds_per_byte]), when, ends)[0, -1])

    def _fit(self, when: Numbers, ends: Numbers, replies: Numbers) -> tuple[float, float]:
        """p and the round trip: the best of all, or next to what was known.

        On a busy link the right p is a narrow dip between those tried of all; known once, it is not lost.
        """
        at = np.searchsorted(ends, replies[:, 0] - self._start)

        def best(paces: Numbers, times: int) -> tuple[float, float, float]:
            trips = replies[:, 1] - self._left(paces, when, ends)[:, at]
            middle = np.median(trips, axis=1)
            loss = np.abs(trips - middle[:, None]).mean(axis=1)
            i = int(loss.argmin())
            if times:
                return best(
                    np.geomspace(paces[max(0, i - 1)], paces[min(len(paces) - 1, i + 1)], FINE), times - 1
                )
            return float(loss[i]), float(paces[i]), max(0.0, float(middle[i]))

        found = best(np.geomspace(1 / FASTEST, 1 / SLOWEST, COARSE), TIMES)
        if self._known:
            near = self._known[0] * np.geomspace(1 / NEAR, NEAR, FINE)
            found = min(found, best(near, TIMES - 1))
        return found[1:]

    def _left(self, paces: Numbers, when: Numbers, ends: Numbers) -> Numbers:
        """D float64[paces, pieces]."""
        before = np.append(0.0, ends[:-1])
        begun = np.maximum.accumulate(when - paces[:, None] * before, axis=1)
        return np.maximum(begun, self._free_before) + paces[:, None] * ends
