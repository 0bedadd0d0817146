"""The file of the model, which every node must have: a bundled checkpoint, or the same file at the same path."""

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


def verified_path(model: str, expected: str) -> Path:
    """The path of the model's file on this node, if its SHA-256 is the expected one.

    Raises:
        ValueError: the file is another one, or there is none.
    """
    if digest(model) != expected:
        raise ValueError(
            f"{model} is another file on this node than where `overtone serve --ray` was started"
        )
    return find(model)
