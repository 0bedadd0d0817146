import numpy as np
import pytest

from overtone.training.reliability import reliability


def test_error_by_hand() -> None:
    # Two bins: one of two answers, half right at 0.3; one of three, all right at 0.8, 0.9 and 1.
    confidence = np.array([0.2, 0.4, 0.8, 0.9, 1.0])
    found = reliability(confidence, np.array([True, False, True, True, True]), bins=2)
    assert found.counts.tolist() == [2, 3]
    assert found.accuracy.tolist() == [0.5, 1.0]
    assert found.error == pytest.approx((2 * 0.2 + 3 * 0.1) / 5)
    assert found.mean_confidence == pytest.approx(3.3 / 5)
    assert found.mean_accuracy == pytest.approx(4 / 5)


def test_bins_close_on_the_right_and_empty_ones_count_nothing() -> None:
    found = reliability(np.array([0.5, 0.51, 1.0]), np.array([True, True, False]), bins=4)
    assert found.counts.tolist() == [0, 1, 1, 1]
    assert found.error == pytest.approx((0.5 + 0.49 + 1) / 3)
    assert [row[2] for row in found.rows()] == [1, 1, 1]
    assert [b["from"] for b in found.as_dict()["bins"]] == [0.25, 0.5, 0.75]


def test_the_calibrated_have_no_error_and_the_vain_have_all_of_it() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(200_000)
    assert reliability(confidence, rng.random(200_000) < confidence).error < 0.01
    assert reliability(np.ones(10), np.zeros(10, bool)).error == 1
