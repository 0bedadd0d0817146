"""Print the requirements of an extra of pyproject.toml, one per line: `python deploy/dependencies.py server`.

With them a container image has third-party packages in a layer of their own, which changes of our code leave valid.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def requirements(project: dict[str, Any], extra: str) -> Iterator[str]:
    """The requirements of the project, then those of the extra and of the extras it names, without our own packages.

    Args:
        project: the table `[project]`.
        extra: a name in `[project.optional-dependencies]`.

    Raises:
        ValueError: there is no such extra.
    """
    yield from project["dependencies"]
    yield from _of_extra(project, extra)


def _of_extra(project: dict[str, Any], extra: str) -> Iterator[str]:
    known = project["optional-dependencies"]
    if extra not in known:
        raise ValueError(f"no extra {extra!r} in pyproject.toml; there are {', '.join(sorted(known))}")
    for requirement in known[extra]:
        if own := re.fullmatch(rf"{project['name']}\[(.+)\]", requirement):
            for name in own[1].split(","):
                yield from _of_extra(project, name.strip())
        elif not requirement.startswith(project["name"]):
            yield requirement


if __name__ == "__main__":
    try:
        table = tomllib.loads(Path("pyproject.toml").read_text())["project"]
        print(*requirements(table, sys.argv[1]), sep="\n")
    except (OSError, ValueError) as error:
        sys.exit(str(error))
