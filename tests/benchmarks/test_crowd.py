import pytest

from overtone.benchmarks.link.crowd import ANSWER, MESSAGE, alone, crowd, run
from overtone.benchmarks.link.profiles import PROFILES, LinkProfile
from overtone.benchmarks.link.rate import Rate


def test_alone_is_a_round_trip_and_both_ways_at_their_rates() -> None:
    profile = LinkProfile("x", up=Rate(8e3), down=Rate(16e3), rtt=0.5)
    assert alone(profile) == pytest.approx(0.5 + (MESSAGE + 52) / 1000 + (ANSWER + 52) / 2000)


async def test_every_device_of_a_small_crowd_is_answered() -> None:
    tally, said = await crowd(5, PROFILES["wifi"], every=0.0, seconds=0.1)
    assert tally.failed == 0
    assert len(tally.seconds) >= 5
    assert f"{MESSAGE * len(tally.seconds):,} bytes up" in said


def test_a_crowd_that_the_system_has_no_files_for_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(10**9, "wifi", 1.0, 1.0) == 1
    assert "ulimit" in capsys.readouterr().err
