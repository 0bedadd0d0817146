import pytest

from overtone.link.impairments import Jitter, Outage
from overtone.link.rate import UnitError


def test_jitter_depends_on_the_seed_and_stays_in_its_half() -> None:
    def draws(seed: str) -> list[float]:
        jitter = Jitter(0.1, seed)
        return [jitter.draw() for _ in range(1000)]

    assert draws("1 up") == draws("1 up")
    assert draws("1 up") != draws("1 down")
    assert -0.05 <= min(draws("1 up")) < -0.04
    assert 0.04 < max(draws("1 up")) <= 0.05
    assert Jitter().draw() == 0.0


@pytest.mark.parametrize(
    ("text", "outage"),
    [
        ("30s+2s", Outage(30, 2)),
        ("500ms+0.1s:reset", Outage(0.5, 0.1, reset=True)),
        ("1s+1s:freeze", Outage(1, 1)),
    ],
)
def test_outages(text: str, outage: Outage) -> None:
    assert Outage.parse(text) == outage


@pytest.mark.parametrize("text", ["", "30s", "30+2", "0s+2s", "30s+0s", "30s+2s:", "30s+2s:slow"])
def test_other_outages_are_refused(text: str) -> None:
    with pytest.raises(UnitError):
        Outage.parse(text)
