"""Where things are kept that can be made or fetched again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder of this project among the user's caches, by the XDG base directory convention; it may not exist yet.

    Raises:
        RuntimeError: the user has no home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "overtone"
