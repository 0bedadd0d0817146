import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from overtone.training.threshold import (
    GRID,
    NEVER,
    Bools,
    Floats,
    bytes_threshold,
    clopper_pearson_upper,
    high_probability_threshold,
    lost_at,
    risk_controlled_threshold,
    share_threshold,
)

SEEDS = st.integers(0, 2**31)
quickly = settings(max_examples=40, deadline=None)


def drawn(seed: int, n: int, places: int = 2) -> tuple[Floats, Bools, Bools]:
    """Scores with ties, and what low and high have right."""
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(n), places)
    return scores, rng.random(n) < scores, rng.random(n) < 0.9


def test_clopper_pearson_is_the_binomial_turned_round() -> None:
    for k, n, delta in ((0, 50, 0.05), (3, 100, 0.05), (20, 947, 0.1)):
        upper = float(clopper_pearson_upper(np.array([k]), n, delta)[0])
        assert binom.cdf(k, n, upper) == pytest.approx(delta)
    assert clopper_pearson_upper(np.array([5]), 5, 0.05)[0] == 1


@quickly
@given(SEEDS, st.integers(60, 400), st.sampled_from([0.02, 0.05, 0.2]), st.sampled_from([0.05, 0.3]))
def test_high_probability_walks_down_while_the_bound_holds(
    seed: int, n: int, alpha: float, delta: float
) -> None:
    scores, low_right, high_right = drawn(seed, n)
    lost = high_right & ~low_right
    threshold = high_probability_threshold(scores, lost, alpha, delta)
    place = int(np.flatnonzero(threshold == GRID)[0])

    def bound(t: float) -> float:
        return float(clopper_pearson_upper(np.array([(lost & (scores >= t)).sum()]), n, delta)[0])

    assert place == 0 or bound(threshold) <= alpha
    assert threshold == 0 or bound(float(GRID[place + 1])) > alpha


@quickly
@given(SEEDS, st.integers(1, 200), st.floats(0.001, 0.3), st.floats(0.001, 0.3), st.floats(0.01, 0.5))
def test_more_may_be_lost_more_is_answered_early(
    seed: int, n: int, one: float, other: float, delta: float
) -> None:
    scores, low_right, high_right = drawn(seed, n)
    lost = high_right & ~low_right
    strict, lax = sorted((one, other))
    assert risk_controlled_threshold(scores, low_right, high_right, strict) >= (
        risk_controlled_threshold(scores, low_right, high_right, lax)
    )
    sure = high_probability_threshold
    assert sure(scores, lost, strict, delta) >= sure(scores, lost, lax, delta)
    assert sure(scores, lost, strict, delta / 2) >= sure(scores, lost, strict, delta)
    assert share_threshold(scores, strict) <= share_threshold(scores, lax)


@quickly
@given(SEEDS, st.integers(1, 300))
def test_fewer_are_lost_as_the_threshold_grows(seed: int, n: int) -> None:
    scores, low_right, high_right = drawn(seed, n)
    lost = high_right & ~low_right
    k = lost_at(scores, lost, GRID)
    assert (np.diff(k) >= 0).all()
    assert k[0] == 0
    assert k.tolist()[::250] == [int((lost & (scores >= t)).sum()) for t in GRID[::250]]


@pytest.mark.parametrize("n", [0, 1, 5])
def test_with_too_few_pictures_nothing_is_answered_early(n: int) -> None:
    scores, right = np.ones(n), np.ones(n, bool)
    assert risk_controlled_threshold(scores, right, right, 0.01) == NEVER > 1
    assert high_probability_threshold(scores, ~right, 0.01, 0.05) == NEVER


def test_all_right_everything_is_answered_early() -> None:
    scores, right = np.full(500, 0.4), np.ones(500, bool)
    assert risk_controlled_threshold(scores, right, right, 0.01) == 0
    assert high_probability_threshold(scores, ~right, 0.01, 0.05) == 0


def test_all_lost_nothing_is_answered_early() -> None:
    scores, right = np.full(500, 0.4), np.ones(500, bool)
    assert 0.4 < risk_controlled_threshold(scores, ~right, right, 0.01) <= NEVER
    assert 0.4 < high_probability_threshold(scores, right, 0.01, 0.05) <= NEVER


def test_both_wrong_is_no_loss() -> None:
    scores, right = np.full(500, 0.4), np.ones(500, bool)
    assert risk_controlled_threshold(scores, ~right, ~right, 0.01) == 0


@quickly
@given(SEEDS, st.integers(1, 200), st.floats(0, 1))
def test_share_is_the_kth_score(seed: int, n: int, share: float) -> None:
    scores = np.random.default_rng(seed).permutation(n) / n
    threshold = share_threshold(scores, share)
    k = int(np.floor(share * (n + 1) + 1e-9))
    assert (scores < threshold).sum() == min(max(k - 1, 0), n) if k <= n else threshold == NEVER


def test_share_does_not_lose_one_to_rounding() -> None:
    assert share_threshold(np.arange(99) / 99, 0.29) == 28 / 99
    assert share_threshold(np.arange(99) / 99, 0.0) == 0
    assert share_threshold(np.arange(99) / 99, 1.0) == NEVER


@quickly
@given(SEEDS, st.integers(2, 200), st.floats(0, 1))
def test_bytes_stay_within_the_budget(seed: int, n: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(n), 2)
    low, high = rng.integers(100, 200, n), rng.integers(100, 2000, n)
    largest = (low + high).max()

    def spent(t: float) -> float:
        return float((low.sum() + high[scores < t].sum() + largest) / (n + 1))

    budget = spent(0) + level * (spent(NEVER) - spent(0))
    threshold = bytes_threshold(scores, low, high, budget)
    assert spent(threshold) <= budget + 1e-6
    above = scores[scores >= threshold]
    assert not above.size or spent(np.nextafter(above.min(), 2)) > budget - 1e-6


def test_less_than_low_takes_cannot_be_had() -> None:
    few = np.array([100, 100])
    with pytest.raises(ValueError, match="low alone takes 167 bytes"):
        bytes_threshold(np.array([0.1, 0.2]), few, 2 * few, 120)


def true_risk(t: float) -> float:
    """Of scores uniform on [0, 1] that are lost with probability 0.2 * (1 - score)."""
    return 0.1 * (1 - min(t, 1.0)) ** 2


@pytest.mark.parametrize("n", [150, 600])
def test_promises_are_kept_where_the_true_risk_is_known(n: int) -> None:
    """1,000 calibrations on fresh pictures of a population; two standard errors for the simulation."""
    rng, alpha, delta = np.random.default_rng(n), 0.03, 0.05
    right = np.ones(n, bool)
    in_expectation, sure = [], []
    for _ in range(1000):
        scores = rng.random(n)
        lost = rng.random(n) < 0.2 * (1 - scores)
        in_expectation.append(true_risk(risk_controlled_threshold(scores, ~lost, right, alpha)))
        sure.append(true_risk(high_probability_threshold(scores, lost, alpha, delta)))
    risks = np.array(in_expectation)
    assert risks.mean() <= alpha + 2 * risks.std() / np.sqrt(1000)
    # Not by being timid: what is given away is about 1 / n.
    assert risks.mean() >= alpha - 1.5 / n - 2 * risks.std() / np.sqrt(1000)
    passed = np.mean(np.array(sure) > alpha)
    assert passed <= delta + 2 * np.sqrt(delta * (1 - delta) / 1000)
    assert passed >= delta / 10
    assert np.mean(sure) < risks.mean()


def test_a_share_is_kept_where_it_is_known() -> None:
    rng = np.random.default_rng(0)
    shares = [share_threshold(rng.random(50), 0.3) for _ in range(2000)]
    # Scores are uniform, so the share below a threshold is the threshold: 15 / 51 on average.
    assert np.mean(shares) == pytest.approx(15 / 51, abs=0.005)
