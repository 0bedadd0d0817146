"""Ratios and their intervals, from what happened to each picture."""

from typing import get_args

import numpy as np
import pytest

from overtone.benchmarks.curve.verdict import MEASURES, Entry, Measure, verdicts

N = 400


def entry(name: str, share: float, size: float, dear: Measure = "payload") -> Entry:
    """The first pictures are right; `dear` is a measure that costs twice as much."""
    counts = {m: np.full(N, size * (1 + (m == dear))) for m in MEASURES}
    return Entry(name, {"side": 64}, np.arange(N) < share * N, counts)


OURS = [entry("Overtone", 0.70, 100), entry("Overtone", 0.80, 200)]
THEIRS = [entry("WebP", 0.70, 300, "wire"), entry("WebP", 0.80, 600, "wire")]


def test_every_measure_is_its_own() -> None:
    found = {v.measure: v.found.ratio for v in verdicts(OURS, {"WebP": THEIRS}, resamples=3)}
    assert found == pytest.approx({"payload": 2 / 3, "wire": 1 / 6, "post": 1 / 3, "bare": 1 / 3})
    assert set(found) == set(get_args(Measure))


def test_interval_holds_the_ratio() -> None:
    rng = np.random.default_rng(0)
    noisy = [
        Entry(
            "WebP",
            {},
            rng.permutation(e.right),
            {m: c * rng.uniform(0.5, 1.5, N) for m, c in e.counts.items()},
        )
        for e in THEIRS
    ]
    for v in verdicts(OURS, {"WebP": noisy}, resamples=100):
        assert v.lower < v.found.ratio < v.upper


def test_curves_that_do_not_meet_have_no_verdict() -> None:
    poor = [entry("JPEG", 0.1, 100), entry("JPEG", 0.2, 200)]
    assert not verdicts(OURS, {"JPEG": poor}, resamples=3)


def test_without_an_interval_there_is_no_verdict() -> None:
    assert not verdicts(OURS, {"WebP": THEIRS}, resamples=0)


def test_entry_as_json_has_bytes_top1_and_settings() -> None:
    assert OURS[0].document() == {
        "bytes": 200, "top1": 0.7, "wire": 100, "post": 100, "bare": 100, "side": 64
    }  # fmt: skip
