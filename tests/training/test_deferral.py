import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from overtone.models import Rule, Temperature
from overtone.models.deferral import FEATURES, features, logistic
from overtone.training.calibrate import fit_temperatures
from overtone.training.deferral import (
    PLAIN,
    advantage,
    as_json,
    compare,
    cross_fitted,
    draw,
    fit_logistic,
    fit_rule,
    folds,
    frontier,
    scores,
)
from overtone.training.modes import modes, right
from overtone.training.predict import Predictions
from tests.training.populations import predictions


def uneven(n: int, seed: int) -> Predictions:
    """High takes ten times the bytes for half of the pictures, whatever low says."""
    p = predictions(n, seed)
    high_bytes = np.where(np.arange(n) % 2, 200, 2000)
    return Predictions(p.low, p.high, p.targets, p.low_bytes, high_bytes)


def test_logistic_model_is_found() -> None:
    rng = np.random.default_rng(0)
    x = np.stack([np.ones(50_000), rng.normal(size=50_000)], axis=1)
    y = rng.random(50_000) < logistic(x @ np.array([0.5, -1.0]))
    assert fit_logistic(x, y) == pytest.approx((0.5, -1.0), abs=0.05)


def test_a_model_stays_finite_where_all_are_right() -> None:
    found = fit_logistic(np.ones((20, 4)), np.ones(20, bool))
    assert np.isfinite(found).all()


def test_features_of_a_certain_answer_are_finite() -> None:
    certain = np.array([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]], np.float32)
    found = features(certain)
    assert found.shape == (2, len(FEATURES))
    assert np.isfinite(found).all()
    assert found[1, 2] == pytest.approx(0, abs=1e-6)
    assert found[1, 3] == pytest.approx(np.log(3))


def test_folds_hold_every_picture_once() -> None:
    held = np.sum([h for _, h in folds(23)], axis=0)
    assert held.tolist() == [1] * 23
    assert all((fit ^ h).all() for fit, h in folds(23))


def test_expected_gain_is_the_gain() -> None:
    p, fresh = predictions(5000, 1), predictions(20_000, 2)
    t = fit_temperatures(p)
    gain = fit_rule(p, t).gain(softmax(fresh.low / t.low, axis=1))
    low_right, high_right = right(fresh)
    found = high_right.astype(float) - low_right
    for part in np.array_split(np.argsort(gain), 4):
        assert found[part].mean() == pytest.approx(gain[part].mean(), abs=0.05)


def test_frontier_runs_from_low_only_to_always_both() -> None:
    p = predictions(300)
    t = Temperature()
    spent, top1 = frontier(scores(fit_rule(p, t), p, t)[PLAIN], p)
    ends = modes(p, t, 0.0), modes(p, t, 1.1)
    assert (top1[0], top1[-1]) == pytest.approx((ends[0].low, ends[0].both))
    assert (spent[0], spent[-1]) == pytest.approx((ends[0].mean_bytes, ends[1].mean_bytes))


def test_bytes_are_worth_weighing_where_they_differ() -> None:
    p, fresh = uneven(3000, 1), uneven(6000, 2)
    t = fit_temperatures(p)
    found = compare(scores(fit_rule(p, t), fresh, t), fresh, resamples=100)
    assert found["gain, a byte"].holds
    assert found["gain, a byte"].lower < found["gain, a byte"].advantage < found["gain, a byte"].upper
    assert (found[PLAIN].advantage, found[PLAIN].lower, found[PLAIN].holds) == (0, 0, False)


def test_cross_fitting_does_not_reward_knowing_the_answers() -> None:
    """Where sizes are alike and low is honest, nothing is left to gain."""
    p = predictions(2000, 5)
    t = fit_temperatures(p)
    wanted = cross_fitted(p, t)
    assert abs(advantage(wanted["gain"], p, wanted[PLAIN])) < 0.01


def test_figure_and_numbers(tmp_path: Path) -> None:
    p = uneven(200, 1)
    found = {"here": compare(cross_fitted(p, Temperature()), p, resamples=10)}
    draw(found, tmp_path / "rule.png")
    with Image.open(tmp_path / "rule.png") as image:
        assert min(image.size) > 300
    said = json.loads(json.dumps(as_json(found)))["here"]
    assert set(said) == {PLAIN, "confidence, a byte", "gain", "gain, a byte"}
    assert len(said[PLAIN]["bytes"]) == len(said[PLAIN]["top1"])


def test_a_rule_has_its_coefficients() -> None:
    with pytest.raises(ValueError, match="4 coefficients"):
        Rule(both=(1.0,), low=(1.0,), price=0.0)


def test_a_dear_picture_is_not_asked_for() -> None:
    rule = Rule(both=(2.0, 0, 0, 0), low=(0.0, 0, 0, 0), price=1e-4)
    unsure = np.full((2, 5), 0.2, np.float32)
    assert rule.escalates(unsure, np.array([1000, 10_000])).tolist() == [True, False]
