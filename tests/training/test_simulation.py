import pytest

from overtone.training.calibration.risk_targets import RiskTarget, TargetError
from overtone.training.calibration.simulation import Trial, simulate
from tests.training.populations import predictions, three_layers

TARGETS = (
    RiskTarget("on average", 0.02),
    RiskTarget("sure", 0.04, 0.1),
    RiskTarget("share", share=0.4),
    RiskTarget("bytes", mean_bytes=1000),
)
THREE = (*TARGETS[:3], RiskTarget("bytes", mean_bytes=700))


@pytest.fixture(scope="module", params=["two layers", "three layers"])
def trials(request: pytest.FixtureRequest) -> dict[str, Trial]:
    if request.param == "two layers":
        found = simulate(predictions(1200, 3), TARGETS, n=400, splits=200)
    else:
        found = simulate(three_layers(1200, 3), THREE, n=400, splits=100)
    return {trial.target.name: trial for trial in found}


def test_guarantees_hold(trials: dict[str, Trial]) -> None:
    assert all(trial.holds for trial in trials.values())
    assert {trial.n for trial in trials.values()} == {400}


def test_guarantees_are_not_conservative(trials: dict[str, Trial]) -> None:
    for name in ("on average", "share", "bytes"):
        assert trials[name].found > 0.8 * trials[name].bound
    assert trials["sure"].found > 0
    assert 0 < trials["sure"].exit_share < trials["on average"].exit_share + 0.5


def test_the_rest_alone_is_noisier_than_the_whole(trials: dict[str, Trial]) -> None:
    sure = trials["sure"]
    assert sure.exceeded_on_rest is not None
    assert sure.exceeded_on_rest >= sure.found
    assert trials["share"].exceeded_on_rest is None


def test_a_violation_is_seen() -> None:
    violated = Trial(
        RiskTarget("x", 0.01),
        100,
        1000,
        bound=0.01,
        found=0.02,
        error=0.001,
        exceeded_on_rest=0.9,
        exit_share=1,
    )
    assert not violated.holds


def test_both_sides_need_images() -> None:
    p = predictions(20)
    for n in (0, 20):
        with pytest.raises(TargetError, match="1 to 19"):
            simulate(p, TARGETS, n=n, splits=1)
    assert simulate(p, TARGETS[:2], splits=5) == simulate(p, TARGETS[:2], splits=5)
