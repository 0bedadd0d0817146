"""Files that are watched for changes by polling their metadata."""

from collections.abc import Iterable
from pathlib import Path

# Time of the last change, size and inode; None if there is no such file.
Fingerprint = tuple[int, ...] | None


class WatchedFiles:
    """Remembers the fingerprints of some files; paths that are None are left out."""

    def __init__(self, paths: Iterable[Path | None]) -> None:
        self._paths = [path for path in paths if path is not None]
        self._seen = self._state()

    def changed(self) -> bool:
        """Whether one of the files has changed since the last call, or since this object was made."""
        before, self._seen = self._seen, self._state()
        return self._seen != before

    def _state(self) -> list[Fingerprint]:
        return [fingerprint(path) for path in self._paths]


def fingerprint(path: Path) -> Fingerprint:
    """The fingerprint of a file as it is now."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
