"""Files that may still be written, until they have stayed as they are for a while."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

# Seconds for which a file has to stay as it is until it counts as complete.
SETTLED = 1.0


@dataclass
class _State:
    """Size and time of modification of a file when it was last seen to have changed, and the time of that look."""

    size: int
    modified: int
    since: float


class Settling:
    """Finds out which files are complete; nothing tells so for files that come over a network, for example."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._states: dict[Path, _State] = {}

    def complete(self, changed: Iterable[Path]) -> list[Path]:
        """The files that are complete now, each once after a change, given those that have just changed.

        This looks at every file that is not complete yet, so it is to be called a few times a second, in a thread.
        """
        now = self._clock()
        for path in changed:
            self._states[path] = _State(-1, 0, now)
        found = []
        for path, state in list(self._states.items()):
            try:
                status = path.stat()
            except OSError:  # it is gone, or was renamed
                del self._states[path]
                continue
            if (status.st_size, status.st_mtime_ns) != (state.size, state.modified):
                self._states[path] = _State(status.st_size, status.st_mtime_ns, now)
            elif now - state.since >= SETTLED:
                del self._states[path]
                found.append(path)
        return found
