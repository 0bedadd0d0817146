"""A folder of models: NAME.safetensors, or NAME/VERSION.safetensors, where versions are whole numbers."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

SUFFIX = ".safetensors"
# The version of a file whose path has none.
FIRST = 1
# What may stand in a URL, in a label of metrics, and in front of a colon and a version.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"0|[1-9][0-9]{0,8}")


class ModelId(NamedTuple):
    """Name and version of a model; the name is empty for the only model of a server, which is named by its card."""

    name: str
    version: int = FIRST

    def __str__(self) -> str:
        return f"{self.name}:{self.version}" if self.name else "the model"

    @classmethod
    def parse(cls, text: str) -> "ModelId":
        """From NAME:VERSION.

        Raises:
            ValueError: it is something else.
        """
        name, _, version = text.partition(":")
        if not (_NAME.fullmatch(name) and _VERSION.fullmatch(version)):
            raise ValueError(f"{text!r} is not NAME:VERSION")
        return cls(name, int(version))


# The id of the only model of a server.
ONLY = ModelId("")


def read(folder: Path) -> dict[ModelId, Path]:
    """The files of a folder by name and version; one with another kind of name is logged and left out.

    Raises:
        OSError: the folder cannot be read.
    """
    found: dict[ModelId, Path] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):  # such as the links by which Kubernetes replaces a folder
            continue
        for name, version, path in _versions(entry):
            if not (_NAME.fullmatch(name) and _VERSION.fullmatch(version)):
                log.error("%s is not served: not named NAME%s or NAME/VERSION%s", path, SUFFIX, SUFFIX)
            elif (model := ModelId(name, int(version))) in found:
                log.error("%s is not served: %s is %s", path, model, found[model])
            else:
                found[model] = path
    return found


def _versions(entry: Path) -> Iterator[tuple[str, str, Path]]:
    """Name, version and path of each model file that an entry of the folder is or contains."""
    if entry.is_dir():
        for path in sorted(entry.glob(f"[!.]*{SUFFIX}")):
            yield entry.name, path.stem, path
    elif entry.suffix == SUFFIX:
        yield entry.stem, str(FIRST), entry
