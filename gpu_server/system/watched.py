"""Files that may be replaced."""

from collections.abc import Iterable
from pathlib import Path

# What tells a file from the one that was in its place before; None if there is none.
Fingerprint = tuple[int, ...] | None


class Watched:
    """Files that may be replaced."""

    def __init__(self, paths: Iterable[Path | None]) -> None:
        self._paths = [path for path in paths if path is not None]
        self._seen = self._state()

    def changed(self) -> bool:
        """Whether one of them is another than at the last call, or when this object was made."""
        before, self._seen = self._seen, self._state()
        return self._seen != before

    def _state(self) -> list[Fingerprint]:
        return [fingerprint(path) for path in self._paths]


def fingerprint(path: Path) -> Fingerprint:
    """That of a file as it is now."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
