import json
from pathlib import Path

import numpy as np
import pytest

from overtone.benchmarks.curve.baselines import Setting
from overtone.benchmarks.curve.evaluation import Outcome
from overtone.benchmarks.load.baseline import Baseline
from overtone.benchmarks.sweep import iso_accuracy
from overtone.benchmarks.sweep.iso_accuracy import FIRST, IsoAccuracy, LogError, logged, search

N = 400
OURS = np.arange(N) % 10 != 0
SMALL, MEDIUM, LARGE = Setting("webp", 96, 40), Setting("webp", 128, 25), Setting("webp", 224, 75)


def found(*shares: float) -> tuple[Setting, float, bool, list[tuple[Setting, int]]]:
    """The result if the settings are correct in such shares, and what was tried on how many images."""
    tried: list[tuple[Setting, int]] = []
    share = dict(zip((SMALL, MEDIUM, LARGE), shares, strict=True))

    def trial(setting: Setting, begin: int, end: int) -> Outcome:
        sizes = np.full(end - begin, 10 * setting.side)
        return Outcome(sizes, sizes, np.arange(begin, end) % 100 < 100 * share[setting])

    setting, outcome, reached = search(
        [SMALL, MEDIUM, LARGE], OURS, trial, lambda s, outcome: tried.append((s, len(outcome.correct)))
    )
    return setting, outcome.top1, reached, tried


def test_the_first_that_is_as_accurate_wins() -> None:
    setting, top1, reached, tried = found(0.80, 0.90, 0.95)
    assert (setting, top1, reached) == (MEDIUM, pytest.approx(0.90), True)
    # One that is far behind is not tried on all images, and larger ones not at all.
    assert tried == [(SMALL, FIRST), (MEDIUM, N)]


def test_if_none_is_the_most_accurate_is_taken() -> None:
    setting, _, reached, tried = found(0.80, 0.88, 0.86)
    assert (setting, reached) == (MEDIUM, False)
    assert tried[-1] == (LARGE, FIRST)


def test_a_log_is_of_one_profile(tmp_path: Path) -> None:
    result = IsoAccuracy("90b91de9", 900, 0.9, Baseline("webp", 128, 25), 0.897, 1400.0, True)
    path = tmp_path / "log.json"
    path.write_text(json.dumps(result.document()))
    assert logged(path, "90b91de9") == result
    assert logged(path, "00000000") is None
    assert logged(tmp_path / "none.json", "90b91de9") is None
    path.write_text('{"n": 1}')
    with pytest.raises(LogError, match=r"log\.json: not a log"):
        logged(path, "90b91de9")


def test_the_kept_logs_can_be_read() -> None:
    for path in iso_accuracy.LOGS.glob("iso-accuracy-*.json"):
        assert logged(path, json.loads(path.read_text())["profile"]) is not None
