import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from overtone.training.calibration.thresholds import (
    GRID,
    NEVER,
    Bools,
    Floats,
    bounded_loss_index,
    bytes_threshold,
    clopper_pearson_upper,
    first_index_within,
    high_probability_index,
    high_probability_threshold,
    hoeffding_bentkus,
    lost_at,
    risk_controlled_index,
    risk_controlled_threshold,
    share_threshold,
)

SEEDS = st.integers(0, 2**31)
quickly = settings(max_examples=40, deadline=None)


def drawn(seed: int, n: int) -> tuple[Floats, Bools]:
    """Confidences with ties, and which images are lost."""
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(n), 2)
    return scores, (rng.random(n) >= scores) & (rng.random(n) < 0.9)


@quickly
@given(SEEDS, st.integers(5, 300), st.sampled_from([0.005, 0.01, 0.05, 0.2]))
def test_risk_control_finds_the_smallest_threshold(seed: int, n: int, alpha: float) -> None:
    scores, lost = drawn(seed, n)
    threshold = risk_controlled_threshold(scores, lost, alpha)

    def risk(t: float) -> float:
        return float(((scores >= t) & lost).sum() + 1) / (n + 1)

    if 1 / (n + 1) > alpha:
        assert threshold > 1
        return
    assert risk(threshold) <= alpha
    below = scores[scores < threshold]
    assert not below.size or risk(below.max()) > alpha


def test_clopper_pearson_inverts_the_binomial() -> None:
    for k, n, delta in ((0, 50, 0.05), (3, 100, 0.05), (20, 947, 0.1)):
        upper = float(clopper_pearson_upper(np.array([k]), n, delta)[0])
        assert binom.cdf(k, n, upper) == pytest.approx(delta)
    assert clopper_pearson_upper(np.array([5]), 5, 0.05)[0] == 1


@quickly
@given(SEEDS, st.integers(60, 400), st.sampled_from([0.02, 0.05, 0.2]), st.sampled_from([0.05, 0.3]))
def test_high_probability_walks_down_while_the_bound_holds(
    seed: int, n: int, alpha: float, delta: float
) -> None:
    scores, lost = drawn(seed, n)
    threshold = high_probability_threshold(scores, lost, alpha, delta)
    place = int(np.flatnonzero(threshold == GRID)[0])

    def bound(t: float) -> float:
        return float(clopper_pearson_upper(np.array([(lost & (scores >= t)).sum()]), n, delta)[0])

    assert place == 0 or bound(threshold) <= alpha
    assert threshold == 0 or bound(float(GRID[place + 1])) > alpha


@quickly
@given(SEEDS, st.integers(1, 200), st.floats(0.001, 0.3), st.floats(0.001, 0.3), st.floats(0.01, 0.5))
def test_the_more_may_be_lost_the_more_is_answered_early(
    seed: int, n: int, one: float, other: float, delta: float
) -> None:
    scores, lost = drawn(seed, n)
    strict, lax = sorted((one, other))
    assert risk_controlled_threshold(scores, lost, strict) >= risk_controlled_threshold(scores, lost, lax)
    sure = high_probability_threshold
    assert sure(scores, lost, strict, delta) >= sure(scores, lost, lax, delta)
    assert sure(scores, lost, strict, delta / 2) >= sure(scores, lost, strict, delta)
    assert share_threshold(scores, strict) <= share_threshold(scores, lax)


@quickly
@given(SEEDS, st.integers(1, 300))
def test_fewer_are_lost_as_the_threshold_grows(seed: int, n: int) -> None:
    scores, lost = drawn(seed, n)
    k = lost_at(scores, lost, GRID)
    assert (np.diff(k) >= 0).all()
    assert k[0] == 0
    assert k.tolist()[::250] == [int((lost & (scores >= t)).sum()) for t in GRID[::250]]


@pytest.mark.parametrize("n", [0, 1, 5])
def test_with_too_few_images_nothing_is_answered_early(n: int) -> None:
    scores, lost = np.ones(n), np.zeros(n, bool)
    assert risk_controlled_threshold(scores, lost, 0.01) == NEVER > 1
    assert high_probability_threshold(scores, lost, 0.01, 0.05) == NEVER


def test_none_lost_or_all() -> None:
    scores, lost = np.full(500, 0.4), np.ones(500, bool)
    assert risk_controlled_threshold(scores, ~lost, 0.01) == 0
    assert high_probability_threshold(scores, ~lost, 0.01, 0.05) == 0
    assert 0.4 < risk_controlled_threshold(scores, lost, 0.01) <= NEVER
    assert 0.4 < high_probability_threshold(scores, lost, 0.01, 0.05) <= NEVER


@quickly
@given(SEEDS, st.integers(1, 200), st.floats(0, 1))
def test_share_is_the_kth_confidence(seed: int, n: int, share: float) -> None:
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


@quickly
@given(SEEDS, st.integers(2, 200), st.sampled_from([0.01, 0.05, 0.2]), st.integers(0, 100))
def test_rules_in_order_choose_what_thresholds_do(seed: int, n: int, alpha: float, percent: int) -> None:
    """Where the rules are all thresholds of two layers, from `NEVER` down."""
    share = percent / 100
    scores, lost = drawn(seed, n)
    edges = np.unique(np.concatenate([[0.0, NEVER], scores, np.nextafter(scores, 2)]))[::-1]
    early = scores >= edges[:, None]
    chosen = edges[risk_controlled_index(early & lost, alpha)]
    expected = risk_controlled_threshold(scores, lost, alpha)
    assert ((scores >= chosen) == (scores >= expected)).all()
    steps = (scores >= GRID[:, None]) & lost
    assert GRID[high_probability_index(steps, alpha, 0.1)] == high_probability_threshold(
        scores, lost, alpha, 0.1
    )
    place = first_index_within(~early, 1, share)
    asked = scores < (0.0 if place is None else edges[place])
    assert (asked == (scores < share_threshold(scores, share))).all()
    low, high = np.full(n, 100), np.random.default_rng(seed).integers(50, 500, n)
    # A little more, so that rounding does not decide.
    most = float((low.sum() + share * high.sum() + (low + high).max()) / (n + 1)) + 1e-6
    place = first_index_within(low + high * ~early, float((low + high).max()), most)
    assert place is not None
    assert ((scores < edges[place]) == (scores < bytes_threshold(scores, low, high, most))).all()


def test_an_image_that_a_later_rule_saves_counts_as_lost() -> None:
    """The first image is lost by the second rule alone, so the loss is not monotone along the rules."""
    lost = np.zeros((4, 99), bool)
    lost[1, 0] = lost[2:, 1] = True
    assert risk_controlled_index(lost, 0.01) == 0
    assert risk_controlled_index(lost, 0.02) == 1
    assert risk_controlled_index(lost, 0.03) == 3
    assert risk_controlled_index(lost[:, :98], 0.01) == 0
    # In fixed sequence a rule stands for itself, and nothing behind one that fails is accepted.
    lost[1, :20] = True
    assert high_probability_index(lost, 0.1, 0.05) == 0
    assert high_probability_index(lost[[0, 2, 3, 1]], 0.1, 0.05) == 2


def true_risk(t: float) -> float:
    """Of confidences uniform on [0, 1], lost with probability 0.2 * (1 - confidence)."""
    return 0.1 * (1 - min(t, 1.0)) ** 2


@pytest.mark.parametrize("n", [150, 600])
def test_guarantees_hold_where_the_true_risk_is_known(n: int) -> None:
    """1,000 calibrations on new images of a population; two standard errors for the simulation."""
    rng, alpha, delta = np.random.default_rng(n), 0.03, 0.05
    in_expectation, sure = [], []
    for _ in range(1000):
        scores = rng.random(n)
        lost = rng.random(n) < 0.2 * (1 - scores)
        in_expectation.append(true_risk(risk_controlled_threshold(scores, lost, alpha)))
        sure.append(true_risk(high_probability_threshold(scores, lost, alpha, delta)))
    risks = np.array(in_expectation)
    assert risks.mean() <= alpha + 2 * risks.std() / np.sqrt(1000)
    # They are not conservative: what is given away is about 1 / n.
    assert risks.mean() >= alpha - 1.5 / n - 2 * risks.std() / np.sqrt(1000)
    exceeded = np.mean(np.array(sure) > alpha)
    assert delta / 10 <= exceeded <= delta + 2 * np.sqrt(delta * (1 - delta) / 1000)
    assert np.mean(sure) < risks.mean()


def test_a_share_holds_where_it_is_known() -> None:
    rng = np.random.default_rng(0)
    shares = [share_threshold(rng.random(50), 0.3) for _ in range(2000)]
    # Confidences are uniform, so the share below a threshold is the threshold: 15 / 51 on average.
    assert np.mean(shares) == pytest.approx(15 / 51, abs=0.005)


def test_the_bound_on_shares_is_rarely_wrong() -> None:
    """Shares of a half or one, whose mean is just above what is allowed: few draws of them look allowed."""
    rng = np.random.default_rng(0)
    n, alpha, delta = 150, 0.1, 0.05
    draws = rng.choice([0.0, 0.5, 1.0], p=[0.85, 0.1, 0.05], size=(4000, n))
    assert draws.mean() == pytest.approx(alpha, abs=0.002)
    wrong = (hoeffding_bentkus(draws.sum(axis=1), n, alpha) <= delta).mean()
    assert wrong <= delta
    assert hoeffding_bentkus(np.array([0.0, 3.0, 15.0, 40.0]), n, alpha).tolist() == sorted(
        hoeffding_bentkus(np.array([0.0, 3.0, 15.0, 40.0]), n, alpha).tolist()
    )
    assert hoeffding_bentkus(np.zeros(1), n, alpha)[0] == pytest.approx(0.9**n)


def test_rules_with_shares_are_tested_in_order() -> None:
    losses = np.array([[0.0] * 100, [0.02] * 100, [0.5] * 100, [0.0] * 100])
    assert bounded_loss_index(losses, 0.1, 0.05) == 1
    assert bounded_loss_index(losses[:2], 0.1, 0.05) == 1
    assert bounded_loss_index(losses, 0.02, 0.05) == 0
    assert bounded_loss_index(losses[:, :5], 0.1, 0.05) == 0
    assert bounded_loss_index(losses[:, :0], 0.1, 0.05) == 0
