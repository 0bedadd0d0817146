from dataclasses import replace

import numpy as np
import pytest

from overtone.frequency import Profile
from overtone.training.calibration.calibration_report import guarantee, note
from overtone.training.calibration.risk_targets import (
    CHOOSING,
    Provenance,
    RiskTarget,
    TargetError,
    certify,
    replaced,
    standard_points,
    standard_targets,
    target_from,
)
from overtone.training.calibration.temperature import fit_temperature, fit_temperatures
from overtone.training.evaluation.predictions import Predictions
from overtone.training.evaluation.stopping import Rule
from tests.training.populations import predictions, three_layers


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({}, "one target"),
        ({"alpha": 0.01, "share": 0.3}, "one target"),
        ({"delta": 0.05, "share": 0.3}, "give alpha too"),
        ({"delta": 0.05}, "give alpha too"),
        ({"alpha": 0.0}, "between 0 and 1"),
        ({"alpha": 0.1, "delta": 1.0}, "between 0 and 1"),
        ({"share": 1.5}, "from 0 to 1"),
    ],
)
def test_what_cannot_be_guaranteed(target: dict[str, float], message: str) -> None:
    with pytest.raises(TargetError, match=message):
        RiskTarget("x", **target)


def test_a_target_from_options() -> None:
    assert target_from("x", None, None, None, None) is None
    assert target_from("x", 0.1, None, None, None) == RiskTarget("x", 0.1)


def test_how_many_images_a_guarantee_needs() -> None:
    assert RiskTarget("x", 0.01).needs == 99
    assert RiskTarget("x", 0.01, 0.05).needs == 299
    p, t = predictions(400), (1.0, 1.0)
    p = replace(p, logits=np.stack([p.logits[1]] * 2))
    for target in (RiskTarget("x", 0.01), RiskTarget("x", 0.01, 0.05)):
        enough: Predictions = p.take(np.arange(target.needs))
        assert certify(target, enough, t).exit_share == 1
        point = certify(target, enough.take(np.arange(target.needs - 1)), t)
        assert (point.exit_share, point.thresholds[0] > 1) == (0, True)
        assert note(point) == f"never answers early: needs {target.needs} images"


def test_standard_targets_are_sure_if_there_are_enough_images() -> None:
    assert [t.name for t in standard_targets(100)] == ["careful", "balanced", "thrifty"]
    assert [t.name for t in standard_targets(947)][3:] == ["careful-95", "balanced-95", "thrifty-95"]
    assert [t.name for t in standard_targets(300)][3:] == ["balanced-95", "thrifty-95"]


def test_a_certificate_says_what_it_was_made_on(tiny_profile: Profile) -> None:
    p = predictions(1000)
    t = fit_temperatures(p)
    for point in standard_points(p, t, Provenance(tiny_profile, 3, "somewhere/calibration")):
        layers = p.layers_taken(t, Rule.of(point))
        found = p.summary(layers)
        assert (point.n, point.k) == (1000, int(p.lost(layers).sum()))
        assert (point.exit_share, point.mean_bytes) == (found.exit_share, found.mean_bytes)
        assert (point.quality, point.profile) == (3, tiny_profile.id.hex())
        assert point.data == "somewhere/calibration"
        assert point.method == ("high probability" if point.delta else "risk control")
        assert point.alpha is not None
        assert (point.k or 0) / point.n <= point.alpha


def test_share_and_bytes() -> None:
    p = predictions(1000)
    t = fit_temperatures(p)
    share = certify(RiskTarget("x", share=0.3), p, t)
    assert (share.method, share.share) == ("share", 0.3)
    assert share.exit_share == pytest.approx(0.7, abs=0.002)
    few = certify(RiskTarget("x", mean_bytes=900), p, t)
    assert few.method == "bytes"
    assert few.mean_bytes is not None
    assert 890 <= few.mean_bytes <= 900
    assert guarantee(few) == "takes at most 900 bytes on average"


def test_points_replace_those_of_the_same_name_and_quality() -> None:
    p = predictions(200)
    old, new = (certify(RiskTarget(name, share=s), p, (1.0, 1.0)) for name, s in (("a", 0.1), ("a", 0.2)))
    other = old.model_copy(update={"quality": 5})
    assert replaced([old, other], [new]) == (new, other)


def test_temperature_is_found() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(20_000, 5)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    drawn = (probabilities.cumsum(1) > rng.random((20_000, 1))).argmax(1)
    assert fit_temperature(3 * logits, drawn) == pytest.approx(3.0, rel=0.05)


def test_a_guarantee_holds_on_new_images() -> None:
    """The mean loss over many new draws stays within alpha."""
    losses = []
    for seed in range(60):
        p, fresh = predictions(500, seed), predictions(4000, 1000 + seed)
        temperatures = fit_temperatures(p)
        point = certify(RiskTarget("x", 0.02), p, temperatures)
        found = fresh.summary(fresh.layers_taken(temperatures, Rule.of(point)))
        losses.append(found.both - found.cascade)
    assert np.mean(losses) <= 0.02


# Name, threshold, images lost, and mean bytes, as they were when there were two layers only.
TWO_LAYERS = (
    ("careful", 0.834302414008101, 4, 1472.764),
    ("balanced", 0.7669352873052795, 9, 1452.69),
    ("thrifty", 0.7326821688035199, 19, 1431.845),
    ("careful-95", 0.864, 1, 1484.729),
    ("balanced-95", 0.835, 4, 1472.764),
    ("thrifty-95", 0.758, 12, 1448.725),
)


def test_two_layers_keep_their_thresholds() -> None:
    p = predictions(1000, 5)
    t = fit_temperatures(p)
    points = standard_points(p, t)
    for point, (name, threshold, k, mean_bytes) in zip(points, TWO_LAYERS, strict=True):
        assert (point.name, point.k, point.n) == (name, k, 1000)
        assert point.thresholds == pytest.approx((threshold,), abs=1e-9)
        assert point.mean_bytes == pytest.approx(mean_bytes)
    share, sent = (certify(RiskTarget("x", **x), p, t) for x in ({"share": 0.3}, {"mean_bytes": 900.0}))
    assert share.thresholds == pytest.approx((0.39215287720427516,))
    assert sent.thresholds == pytest.approx((0.4163228430043158,))


@pytest.mark.parametrize(
    "target",
    [
        RiskTarget("x", 0.02),
        RiskTarget("x", 0.04, 0.1),
        RiskTarget("x", share=0.4),
        RiskTarget("x", mean_bytes=700),
    ],
)
def test_three_layers_are_certified_on_images_that_did_not_choose(target: RiskTarget) -> None:
    p = three_layers(1500, 1)
    t = fit_temperatures(p)
    point = certify(target, p, t)
    assert len(point.thresholds) == len(point.all_below) == 2
    rest = p.take(np.arange(1500) % CHOOSING > 0)
    layers = rest.layers_taken(t, Rule.of(point))
    found = rest.summary(layers)
    assert (point.n, point.k) == (1000, int(rest.lost(layers).sum()))
    assert (point.exit_share, point.mean_bytes) == (found.exit_share, found.mean_bytes)
    assert 0 < found.exit_share < 1
    bound, measured = {
        "risk control": (target.alpha, ((point.k or 0) + 1) / 1001),
        "high probability": (target.alpha, (point.k or 0) / 1000),
        "share": (target.share, 1 - found.exit_share),
        "bytes": (target.mean_bytes, found.mean_bytes),
    }[target.method]
    assert bound is not None
    assert 0.5 * bound < measured <= bound


def test_what_three_layers_cannot_promise() -> None:
    p, t = three_layers(300), (2.0, 2.0, 2.0)
    with pytest.raises(TargetError, match="low alone takes 3"):
        certify(RiskTarget("x", mean_bytes=250), p, t)
    # Nothing is requested of anybody, which takes no images to be sure of.
    assert certify(RiskTarget("x", share=0.0), p, t).exit_share == 1
    few = certify(RiskTarget("x", 0.01), p.take(np.arange(100)), t)
    assert (few.n, few.exit_share) == (66, 0)
    assert note(few) == "never answers early: needs 99 images"
    assert certify(RiskTarget("x", share=1.0), p, t).exit_share == 0


def test_the_layer_in_between_is_worth_judging() -> None:
    """At equal bytes more answers are correct than where it is never judged."""

    def without(p: Predictions) -> Predictions:
        sizes = np.stack([p.sizes[0], p.sizes[1:].sum(axis=0)])
        return replace(p, logits=p.logits[[0, 2]], sizes=sizes, low_layers=1)

    p, fresh, target = three_layers(3000, 2), three_layers(8000, 3), RiskTarget("x", mean_bytes=900)
    t = fit_temperatures(p)
    three, two = certify(target, p, t), certify(target, without(p), (t[0], t[2]))
    found = fresh.summary(fresh.layers_taken(t, Rule.of(three)))
    other = without(fresh).summary(without(fresh).layers_taken((t[0], t[2]), Rule.of(two)))
    assert found.mean_bytes == pytest.approx(other.mean_bytes, rel=0.05)
    assert found.cascade > other.cascade + 0.01
