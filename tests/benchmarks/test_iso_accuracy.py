import json
from pathlib import Path

import pytest

from overtone.benchmarks.load.baseline import Baseline
from overtone.benchmarks.sweep import iso_accuracy
from overtone.benchmarks.sweep.iso_accuracy import IsoAccuracy, logged, search


def test_the_first_that_is_as_accurate_wins() -> None:
    top1 = {"small": 0.80, "medium": 0.90, "large": 0.95}
    tried: list[str] = []

    def measure(name: str) -> float:
        tried.append(name)
        return top1[name]

    assert search(top1, measure, 0.895) == ("medium", True)
    assert tried == ["small", "medium"]
    # If none is, the most accurate is taken.
    top1 = {"small": 0.80, "medium": 0.88, "large": 0.86}
    assert search(top1, measure, 0.895) == ("medium", False)


def test_a_log_is_of_one_profile(tmp_path: Path) -> None:
    result = IsoAccuracy("90b91de9", 900, 0.9, Baseline("webp", 128, 25), 0.897, 1400.0, True)
    path = tmp_path / "log.json"
    path.write_text(json.dumps(result.document()))
    assert logged(path, "90b91de9") == result
    assert logged(path, "00000000") is None
    assert logged(tmp_path / "none.json", "90b91de9") is None
    path.write_text('{"n": 1}')
    with pytest.raises(ValueError, match=r"log\.json: not a log"):
        logged(path, "90b91de9")


def test_the_kept_logs_can_be_read() -> None:
    for path in iso_accuracy.LOGS.glob("iso-accuracy-*.json"):
        assert logged(path, json.loads(path.read_text())["profile"]) is not None
