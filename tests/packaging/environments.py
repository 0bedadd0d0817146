"""Clean environments that hold what a distribution requires, linked from the one that the tests run in."""

import os
import venv
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
OURS = {"overtone", "overtone-checkpoints"}


def requirements(distribution: metadata.Distribution, *extras: str) -> set[str]:
    """Names of all distributions that one with these extras needs, itself excluded."""
    found: set[str] = set()
    _follow(distribution.requires or [], {"", *extras}, found)
    return found


def _follow(lines: list[str], extras: set[str], found: set[str]) -> None:
    for need in map(Requirement, lines):
        marked = need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras)
        if marked and need.name not in found | OURS:
            found.add(need.name)
            _follow(metadata.requires(need.name) or [], {"", *need.extras}, found)


def create(folder: Path, needed: set[str]) -> tuple[Path, Path]:
    """The Python of a new environment that has these distributions, no others, and its `site-packages`."""
    venv.create(folder, with_pip=False)
    library = next(folder.glob("lib/python*/site-packages"))
    for distribution in map(metadata.distribution, needed):
        for top in {file.parts[0] for file in distribution.files or ()} - {".."}:
            if not (library / top).exists():
                (library / top).symlink_to(Path(str(distribution.locate_file(top))))
    return folder / "bin" / "python", library


def environment() -> dict[str, str]:
    """The variables of a process that finds nothing of the working tree."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OVERTONE_DATA")}
