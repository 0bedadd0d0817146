"""A file of JSON objects, one per line, that only grows: interrupted work continues where it stopped."""

import json
import os
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class DamagedFileError(ValueError):
    """A file with a line that cannot be used, other than an incomplete last one."""


class JsonLines:
    """The lines of a file, which need not exist yet; an incomplete last line is removed from it.

    Raises:
        DamagedFileError: a complete line that is not an object with the `required` keys.
    """

    def __init__(self, path: Path, *required: str) -> None:
        self.path = path
        self.lines: list[Json] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        complete, _, rest = (path.read_text("utf-8") if path.is_file() else "").rpartition("\n")
        for number, text in enumerate(complete.splitlines(), 1):
            try:
                line = json.loads(text)
            except ValueError:
                line = None
            if not isinstance(line, dict) or not line.keys() >= set(required):
                raise DamagedFileError(f"{path}, line {number}: not a result; remove the line or the file")
            self.lines.append(line)
        if rest:
            path.write_text(complete + "\n" if complete else "", "utf-8")

    def append(self, line: Json) -> None:
        """Add a line; it is on the disk when this returns."""
        self.lines.append(line)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())
