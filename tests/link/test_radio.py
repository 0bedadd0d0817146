import math

import pytest

from overtone.link.profiles import LinkProfile, link_profile
from overtone.link.radio import RADIOS, Exchange, Radio
from overtone.link.rate import UnitError

RADIO = Radio(sending=500.0, receiving=80.0, connected=50.0, tail=10.0, idle=2.0)
# 1.0 s of sending, 0.5 of receiving and 2.5 of listening.
EXCHANGE = Exchange(1.0, 0.5, 4.0)


def test_bytes_become_seconds_at_the_rate_of_their_direction() -> None:
    link = LinkProfile("a link").changed(up="80kbit", down="160kbit")
    assert Exchange.over(link, 10_000, 10_000, 4.0) == EXCHANGE
    # 1,500 bytes at 300 kbit/s.
    assert Exchange.over(link_profile("lte-m"), 1_500, 0, 0.2).sending == pytest.approx(0.04)
    assert Exchange.over(link_profile("unlimited"), 1_500, 200, 0.2) == Exchange(0.0, 0.0, 0.2)


def test_the_energy_of_an_exchange() -> None:
    # 500 mW for 1 s, 80 for half a second, 50 for the 2.5 s in which it listens.
    assert RADIO.energy(EXCHANGE, tail=False) == pytest.approx(500 + 40 + 125)
    # The tail is 10 s more of listening.
    assert RADIO.energy(EXCHANGE, tail=True) == pytest.approx(665 + 500)


def test_nobody_listens_for_less_than_no_time() -> None:
    # Rounded times may add up to more than the whole.
    assert Exchange(1.0, 0.5, 1.4).listening == 0.0
    assert RADIO.energy(Exchange(1.0, 0.5, 1.4), tail=False) == pytest.approx(540)


@pytest.mark.parametrize(
    ("every", "millijoules"),
    [
        (60.0, 1165 + 2 * 46),  # 46 s idle
        (14.0, 1165),  # the next begins as the tail ends
        (8.0, 665 + 50 * 4),  # within the tail
        (4.0, 665),  # one after the other
    ],
)
def test_the_average_power(every: float, millijoules: float) -> None:
    assert RADIO.average(EXCHANGE, every) == pytest.approx(millijoules / every)


def test_exchanges_that_overlap_take_as_long_as_they_take() -> None:
    assert RADIO.average(EXCHANGE, 1.0) == pytest.approx(665 / 4)


def test_without_idle_power_there_is_no_average() -> None:
    assert Radio(500.0, 80.0, 50.0, 10.0).average(EXCHANGE, 60.0) is None


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_impossible_figures_are_refused(value: float) -> None:
    with pytest.raises(UnitError, match="a radio's tail must be zero or more"):
        Radio(500.0, 80.0, 50.0, value)


def test_each_radio_is_of_a_link() -> None:
    for name, radio in RADIOS.items():
        assert link_profile(name)
        assert radio.sending > radio.receiving >= radio.connected
