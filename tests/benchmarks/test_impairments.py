import pytest

from overtone.benchmarks.link.rate import UnitError, parse_share
from overtone.benchmarks.link.weather import MOST_LOSSES, Luck, Outage


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.5 %", 0.005), ("0.02", 0.02), ("0", 0.0)])
def test_shares(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "5", "-1%", "one", "101%"])
def test_other_shares_are_refused(text: str) -> None:
    with pytest.raises(UnitError, match="1%"):
        parse_share(text)


def test_the_same_seed_is_the_same_luck() -> None:
    def rolls(seed: str) -> list[object]:
        luck = Luck(0.1, 0.5, seed)
        return [(luck.loses(), luck.early_or_late()) for _ in range(20)]

    assert rolls("1 up") == rolls("1 up")
    assert rolls("1 up") != rolls("1 down")


def test_losses_come_as_often_as_they_should_and_jitter_stays_in_its_half() -> None:
    luck = Luck(0.1, 0.1, "s")
    assert 800 < sum(luck.loses() for _ in range(10_000)) < 1200
    assert all(-0.05 <= luck.early_or_late() <= 0.05 for _ in range(1000))


def test_steady_links_roll_no_dice() -> None:
    luck = Luck()
    assert not luck.lossy
    assert not luck.loses()
    assert luck.early_or_late() == 0.0
    assert luck.handshake() == (0.0, 0)


def test_a_lost_syn_waits_a_second_and_then_twice_as_long() -> None:
    class Always(Luck):
        def loses(self) -> bool:
            return True

    assert Always().handshake() == (2.0**MOST_LOSSES - 1, MOST_LOSSES)


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
