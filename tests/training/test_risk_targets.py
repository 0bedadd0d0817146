from dataclasses import replace

import numpy as np
import pytest

from overtone.frequency import Profile
from overtone.models import Temperature
from overtone.training.calibration.calibration_report import guarantee, note
from overtone.training.calibration.risk_targets import (
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
from tests.training.populations import predictions


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
    p, t = predictions(400), Temperature()
    p = replace(p, low=p.high)
    for target in (RiskTarget("x", 0.01), RiskTarget("x", 0.01, 0.05)):
        enough: Predictions = p.take(np.arange(target.needs))
        assert certify(target, enough, t).exit_share == 1
        point = certify(target, enough.take(np.arange(target.needs - 1)), t)
        assert (point.exit_share, point.threshold > 1) == (0, True)
        assert note(point) == f"never answers early: needs {target.needs} images"


def test_standard_targets_are_sure_if_there_are_enough_images() -> None:
    assert [t.name for t in standard_targets(100)] == ["careful", "balanced", "thrifty"]
    assert [t.name for t in standard_targets(947)][3:] == ["careful-95", "balanced-95", "thrifty-95"]
    assert [t.name for t in standard_targets(300)][3:] == ["balanced-95", "thrifty-95"]


def test_a_certificate_says_what_it_was_made_on(tiny_profile: Profile) -> None:
    p = predictions(1000)
    t = fit_temperatures(p)
    for point in standard_points(p, t, Provenance(tiny_profile, 3, "somewhere/calibration")):
        early = p.early(t, point.threshold)
        found = p.modes(early)
        assert (point.n, point.k) == (1000, int((early & p.lost).sum()))
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
    old, new = (certify(RiskTarget(name, share=s), p, Temperature()) for name, s in (("a", 0.1), ("a", 0.2)))
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
        temperature = Temperature(low=fit_temperature(p.low, p.targets))
        found = fresh.modes(
            fresh.early(temperature, certify(RiskTarget("x", 0.02), p, temperature).threshold)
        )
        losses.append(found.both - found.cascade)
    assert np.mean(losses) <= 0.02
