"""The checkpoint, which all nodes have to have: a bundled one, or the same file at the same path."""

import hashlib
from pathlib import Path

from overtone.models import find


def digest(model: str) -> str:
    """SHA-256 of the whole file, in hexadecimal.

    Raises:
        CheckpointError: there is no such checkpoint.
        OSError: it cannot be read.
    """
    with find(model).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checked(model: str, expected: str) -> Path:
    """The file on this node, if it is the one with which the server was started.

    Raises:
        ValueError: it is another one, or there is none.
    """
    if digest(model) != expected:
        raise ValueError(
            f"{model} is another file on this node than where `overtone serve --ray` was started"
        )
    return find(model)
