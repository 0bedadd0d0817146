"""What has been measured, a line of JSON each, so that interrupted work goes on where it stopped."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class LedgerError(ValueError):
    """A ledger that cannot be read."""


class Ledger:
    """Values by key, both plain JSON, in a file that only grows; a line cut off at its end does not count.

    Raises:
        LedgerError: a damaged line before the last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Json] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.read_text("utf-8") if path.is_file() else ""
        lines, _, rest = whole.rpartition("\n")
        for number, line in enumerate(lines.splitlines(), 1):
            try:
                entry = json.loads(line)
                self._known[_text(entry["key"])] = entry["value"]
            except (ValueError, LookupError, TypeError):
                raise LedgerError(
                    f"{path}, line {number}: not a measurement; remove the line or the file"
                ) from None
        if rest:
            path.write_text(lines + "\n" if lines else "", "utf-8")

    def __contains__(self, key: Json) -> bool:
        return _text(key) in self._known

    def __getitem__(self, key: Json) -> Json:
        return self._known[_text(key)]

    def add(self, key: Json, value: Json) -> None:
        """Remember, in the file too."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "value": value}) + "\n")
        self._known[_text(key)] = value


def _text(key: Json) -> str:
    return json.dumps(key, sort_keys=True)


def fingerprint(content: bytes) -> str:
    """Eight hexadecimal digits that tell one thing from another, for keys."""
    return sha256(content).hexdigest()[:8]
