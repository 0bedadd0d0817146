"""The messages of `overtone watch` on standard error: so few that they fill no log in months."""

import time
from collections.abc import Callable

from overtone.command import complain, remark

# Seconds between two lines about the same trouble: at first, and at most. They double each time.
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0


class Seldom:
    """Limits messages about a recurring error: the first is printed, further ones less and less often.

    After a long time without the error, the next message is a first one again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pause = 0.0
        self._told = 0.0
        self.count = 0

    def happens(self) -> int:
        """Count an occurrence.

        Returns:
            The number of occurrences since the last message if one is due now, or else 0.
        """
        self.count += 1
        now = self._clock()
        if self._pause and now - self._told < self._pause:
            return 0
        calm = not self._pause or now - self._told > 2 * self._pause
        self._pause = FIRST_PAUSE if calm else min(LONGEST_PAUSE, 2 * self._pause)
        self._told, count, self.count = now, self.count, 0
        return count


class Notes:
    """Lines on standard error.

    Args:
        quiet: leave out all but errors.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._trouble: dict[str, Seldom] = {}

    def say(self, what: str) -> None:
        """Print a remark."""
        if not self._quiet:
            remark(what)

    def error(self, what: str, kind: str = "") -> bool:
        """Print an error.

        Errors of the same `kind` are printed at most every few seconds, with the number of those in between.

        Returns:
            Whether the error was printed.
        """
        count = self._trouble.setdefault(kind, Seldom()).happens() if kind else 1
        if count:
            complain(what if count == 1 else f"{what} ({count - 1} more like it since)")
        return count > 0
