"""Measurements kept in a file, so that interrupted work continues where it stopped."""

import json
from hashlib import sha256
from pathlib import Path

from overtone.benchmarks.json_lines import Json, JsonLines


class ResultCache:
    """Values by key, both plain JSON.

    Raises:
        DamagedFileError: a damaged line before the last.
    """

    def __init__(self, path: Path) -> None:
        self._file = JsonLines(path, "key", "value")
        self._values = {_text(line["key"]): line["value"] for line in self._file.lines}

    def __contains__(self, key: Json) -> bool:
        return _text(key) in self._values

    def __getitem__(self, key: Json) -> Json:
        value: Json = self._values[_text(key)]
        return value

    def add(self, key: Json, value: Json) -> None:
        """Keep a value, in the file too."""
        self._file.append({"key": key, "value": value})
        self._values[_text(key)] = value


def _text(key: Json) -> str:
    return json.dumps(key, sort_keys=True)


def fingerprint(content: bytes) -> str:
    """Eight hexadecimal digits that identify some content, for keys."""
    return sha256(content).hexdigest()[:8]
