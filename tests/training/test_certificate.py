import numpy as np
import pytest

from overtone.frequency import Profile
from overtone.models import Temperature
from overtone.training.calibrate import fit_temperatures, operating_points
from overtone.training.certificate import (
    Held,
    Wish,
    WishError,
    certify,
    certify_rule,
    replaced,
    standard_wishes,
    take,
    wished,
)
from overtone.training.deferral import fit_rule
from overtone.training.findings import note, promise
from overtone.training.modes import confidence, lost, modes
from tests.training.populations import predictions


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({}, "one promise"),
        ({"alpha": 0.01, "share": 0.3}, "one promise"),
        ({"delta": 0.05, "share": 0.3}, "give alpha too"),
        ({"delta": 0.05}, "give alpha too"),
        ({"alpha": 0.0}, "between 0 and 1"),
        ({"alpha": 0.1, "delta": 1.0}, "between 0 and 1"),
        ({"share": 1.5}, "from 0 to 1"),
    ],
)
def test_what_cannot_be_promised(wish: dict[str, float], message: str) -> None:
    with pytest.raises(WishError, match=message):
        Wish("x", **wish)


def test_nothing_wished_for_is_no_wish() -> None:
    assert wished("x", None, None, None, None) is None
    assert wished("x", 0.1, None, None, None) == Wish("x", 0.1)


def test_how_many_pictures_a_promise_needs() -> None:
    assert Wish("x", 0.01).needs == 99
    assert Wish("x", 0.01, 0.05).needs == 299
    p, t = predictions(400), Temperature()
    for wish in (Wish("x", 0.01), Wish("x", 0.01, 0.05)):
        perfect = take(p, np.arange(wish.needs))
        perfect = type(p)(p.high[: wish.needs], p.high[: wish.needs], *list(vars(perfect).values())[2:])
        assert certify(wish, perfect, t).exit_share == 1
        fewer = take(perfect, np.arange(wish.needs - 1))
        point = certify(wish, fewer, t)
        assert (point.exit_share, point.threshold > 1) == (0, True)
        assert note(point) == f"never answers early: needs {wish.needs} pictures"


def test_standard_points_are_sure_where_pictures_are_enough() -> None:
    assert [w.name for w in standard_wishes(100)] == ["careful", "balanced", "thrifty"]
    assert [w.name for w in standard_wishes(947)][3:] == ["careful-95", "balanced-95", "thrifty-95"]
    assert [w.name for w in standard_wishes(300)][3:] == ["balanced-95", "thrifty-95"]


def test_a_certificate_says_what_it_was_made_on(tiny_profile: Profile) -> None:
    p = predictions(1000)
    t = fit_temperatures(p)
    held = Held(tiny_profile, 3, "somewhere/calibration")
    for point in operating_points(p, t, held):
        early = confidence(p.low, t.low) >= point.threshold
        found = modes(p, t, point.threshold)
        assert (point.n, point.k) == (1000, int((early & lost(p)).sum()))
        assert (point.exit_share, point.mean_bytes) == (found.exit_share, found.mean_bytes)
        assert (point.quality, point.profile) == (3, tiny_profile.id.hex())
        assert point.data == "somewhere/calibration"
        assert point.method == ("high probability" if point.delta else "risk control")
        assert point.alpha is not None
        assert (point.k or 0) / point.n <= point.alpha


def test_share_and_bytes() -> None:
    p = predictions(1000)
    t = fit_temperatures(p)
    share = certify(Wish("x", share=0.3), p, t)
    assert share.method == "share"
    assert share.share == 0.3
    assert share.exit_share == pytest.approx(0.7, abs=0.002)
    few = certify(Wish("x", mean_bytes=900), p, t)
    assert few.method == "bytes"
    assert few.mean_bytes is not None
    assert 890 <= few.mean_bytes <= 900
    assert promise(few) == "takes at most 900 bytes on average"


def test_a_rule_is_certified_as_a_threshold_is() -> None:
    p, fresh = predictions(3000, 1), predictions(10_000, 2)
    t = fit_temperatures(p)
    rule = fit_rule(p, t)
    for wish in (Wish("x", 0.02), Wish("x", share=0.4), Wish("x", mean_bytes=1000)):
        point = certify_rule(wish, rule, predictions(3000, 3), t)
        assert point.rule is not None
        assert point.rule.both == rule.both
        probabilities = np.exp(fresh.low / t.low)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        asks = point.escalates(probabilities, fresh.high_bytes)
        promised = [
            (wish.alpha, (~asks & lost(fresh)).mean()),
            (wish.share, asks.mean()),
            (wish.mean_bytes, (fresh.low_bytes + asks * fresh.high_bytes).mean()),
        ]
        for bound, found in promised:
            assert bound is None or found == pytest.approx(bound, rel=0.3)
        # Where the size of high is not known, the threshold keeps the same promise.
        assert point.threshold == certify(wish, predictions(3000, 3), t).threshold
    with pytest.raises(WishError, match="leave delta out"):
        certify_rule(Wish("x", 0.02, 0.05), rule, p, t)


def test_a_rule_that_never_answers_early_can_be_written() -> None:
    p = predictions(50)
    point = certify_rule(Wish("x", 0.001), fit_rule(p, Temperature()), p, Temperature())
    assert point.exit_share == 0
    assert type(point).model_validate_json(point.model_dump_json()) == point


def test_points_replace_those_of_the_same_name_and_quality() -> None:
    p = predictions(200)
    old, new = (certify(Wish(name, share=s), p, Temperature()) for name, s in (("a", 0.1), ("a", 0.2)))
    other = old.model_copy(update={"quality": 5})
    assert replaced([old, other], [new]) == (new, other)
