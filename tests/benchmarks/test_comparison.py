"""Ratios and their intervals, from what happened to each image."""

import numpy as np
import pytest

from overtone.benchmarks.curve.comparison import MEASURES, Entry, Measure, comparisons

N = 400


def entry(share: float, size: float, double: Measure = "payload") -> Entry:
    """The first images are answered correctly; by the measure `double`, bytes count twice."""
    counts = {m: np.full(N, size * (1 + (m == double))) for m in MEASURES}
    return Entry({"side": 64}, counts, np.arange(N) < share * N)


OURS = [entry(0.70, 100), entry(0.80, 200)]
THEIRS = [entry(0.70, 300, "wire"), entry(0.80, 600, "wire")]


def test_every_measure_has_its_own_ratio() -> None:
    found = {each["measure"]: each["ratio"] for each in comparisons(OURS, {"WebP": THEIRS}, resamples=3)}
    assert found == pytest.approx({"payload": 2 / 3, "bare": 1 / 3, "wire": 1 / 6, "post": 1 / 3})


def test_the_interval_contains_the_ratio() -> None:
    rng = np.random.default_rng(0)
    noisy = [
        Entry({}, {m: c * rng.uniform(0.5, 1.5, N) for m, c in e.counts.items()}, rng.permutation(e.correct))
        for e in THEIRS
    ]
    for each in comparisons(OURS, {"WebP": noisy}, resamples=100):
        assert each["lower"] < each["ratio"] < each["upper"]


def test_without_a_common_range_or_an_interval_there_is_no_comparison() -> None:
    assert not comparisons(OURS, {"JPEG": [entry(0.1, 100), entry(0.2, 200)]}, resamples=3)
    assert not comparisons(OURS, {"WebP": THEIRS}, resamples=0)


def test_an_entry_as_json_has_bytes_top1_and_settings() -> None:
    counts = {"bytes": 200, "bare": 100, "wire": 100, "post": 100}
    assert OURS[0].document() == {"top1": 0.7, "side": 64, **counts}
