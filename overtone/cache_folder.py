"""The folder of this project's caches."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`overtone` in the user's cache folder, by the XDG base directory convention; it may not exist yet.

    Raises:
        RuntimeError: the user has no home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "overtone"
