"""A cache on disk for networks exported to ONNX, which take seconds to make."""

import contextlib
import hashlib
import logging
import os
import tempfile
from pathlib import Path

from overtone.cache_folder import cache_folder

log = logging.getLogger(__name__)

SUFFIX = ".export"
# Files that are kept at most; the least recently used ones are deleted.
MOST = 32


class ExportCache:
    """Exports by key; processes may share the folder.

    A file has the SHA-256 of an export and then the export, so damage is noticed. Errors of the file system are logged
    and never raised: the export is then made anew.

    Args:
        folder: where the files are; without one nothing is cached.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    @classmethod
    def of_user(cls) -> "ExportCache":
        """The cache in the user's cache folder; one that caches nothing for a user without a home."""
        try:
            return cls(cache_folder() / "networks")
        except RuntimeError:
            return cls()

    def get(self, key: str) -> bytes | None:
        """The export with this key, if there is one and it is undamaged."""
        if self._folder is None:
            return None
        path = self._folder / f"{key}{SUFFIX}"
        try:
            content = memoryview(path.read_bytes())
        except OSError:
            return None
        size = hashlib.sha256().digest_size
        if hashlib.sha256(content[size:]).digest() != content[:size]:
            log.warning("%s is damaged and is made anew", path)
            return None
        with contextlib.suppress(OSError):  # of a folder that can only be read
            os.utime(path)
        return bytes(content[size:])

    def put(self, key: str, export: bytes) -> None:
        """Cache an export, atomically."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(self._folder / f"{key}{SUFFIX}", hashlib.sha256(export).digest() + export)
            self._tidy(self._folder)
        except OSError as error:
            log.info("an export of %d MB is not kept: %s", len(export) >> 20, error)

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        draft, name = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(draft, "wb") as file:
                file.write(content)
            os.chmod(name, 0o644)  # an image of a container may be filled by another user than it is run by
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise

    @staticmethod
    def _tidy(folder: Path) -> None:
        files = sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in files[MOST:]:
            path.unlink(missing_ok=True)
