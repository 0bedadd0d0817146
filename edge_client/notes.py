"""What a device that keeps going says on standard error: little enough to fill no log in months."""

import time
from collections.abc import Callable

from overtone.command import complain, remark

# Seconds between two lines about the same trouble: at first, and at most. They double each time.
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0


class Seldom:
    """Trouble that may happen again and again: told at once, then less and less often, until all was well for long."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pause = 0.0
        self._told = 0.0
        self.count = 0

    def happens(self) -> int:
        """Count it once more; how often it has happened since it was last told, or 0 if it is not to be told now."""
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
        """Something worth knowing."""
        if not self._quiet:
            remark(what)

    def error(self, what: str, kind: str = "") -> bool:
        """Something that went wrong; whether it was printed.

        Of one kind only some are: at most one every few seconds, which says how many there were in between.
        """
        count = self._trouble.setdefault(kind, Seldom()).happens() if kind else 1
        if count:
            complain(what if count == 1 else f"{what} ({count - 1} more like it since)")
        return count > 0
