"""What was found to be as accurate, kept and read."""

import json
from pathlib import Path

import pytest

from overtone.benchmarks.load.upload import Rival
from overtone.benchmarks.sweep import equal
from overtone.benchmarks.sweep.equal import Equal, LogError, logged

RIVAL = Rival("webp", 128, 25)


def test_a_log_is_of_one_profile(tmp_path: Path) -> None:
    found = Equal("90b91de9", 900, 0.9, RIVAL, 0.897, 1400.0, True)
    path = tmp_path / "equal.json"
    path.write_text(json.dumps(found.document()))
    assert logged(path, "90b91de9") == found
    assert logged(path, "00000000") is None
    assert logged(tmp_path / "none.json", "90b91de9") is None
    path.write_text('{"n": 1}')
    with pytest.raises(LogError, match=r"equal\.json: not a log"):
        logged(path, "90b91de9")


def test_choices_that_come_along_can_be_read() -> None:
    for path in equal.LOGS.glob("equal-*.json"):
        assert logged(path, json.loads(path.read_text())["profile"]) is not None
