import pytest
from typer.testing import CliRunner

from overtone.cli import app
from overtone.link import Link
from overtone.link.profiles import PROFILES, LinkProfile, link_profile
from overtone.link.rate import UNLIMITED, Rate, UnitError


@pytest.mark.parametrize(
    ("name", "rate", "rtt"),
    [
        ("nb-iot", "60kbit", 0.6),
        ("lte-m", "300kbit", 0.12),
        ("3g", "1mbit", 0.1),
        ("unlimited", "unlimited", 0),
    ],
)
def test_the_links_that_overtone_is_measured_on(name: str, rate: str, rtt: float) -> None:
    profile = link_profile(name)
    assert profile.up == profile.down == Rate.parse(rate)
    assert profile.rtt == pytest.approx(rtt)
    assert PROFILES[name].name == name


def test_options_override_the_profile() -> None:
    link = Link("h:1", profile="satellite", up="1mbit", rtt=0.5)
    assert (link.up, link.down, link.rtt) == (Rate(1e6), PROFILES["satellite"].down, 0.5)
    assert Link("h:1", profile=link_profile("3g"), up="unlimited").up == UNLIMITED
    assert Link("h:1").profile == PROFILES["unlimited"]


@pytest.mark.parametrize("wrong", [{"rtt": -1.0}, {"jitter": -0.1}])
def test_figures_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UnitError):
        LinkProfile("x", **wrong)  # type: ignore[arg-type]


def test_a_profile_prints_its_figures() -> None:
    assert str(LinkProfile("x", rtt=0.05, jitter=0.01)) == "unlimited up, unlimited down, 50 ms ± 10 ms"


def test_the_command_lists_the_profiles() -> None:
    shown = CliRunner().invoke(app, ["link", "--list"])
    assert shown.exit_code == 0
    assert all(name in shown.output for name in PROFILES)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "--to HOST:PORT"),
        (["--to", "nowhere"], "HOST:PORT"),
        (["--to", "h:http"], "HOST:PORT"),
        (["--to", "h:99999"], "HOST:PORT"),
        (["--to", "h:1", "--profile", "pigeon"], "no link profile 'pigeon': choose from nb-iot"),
        (["--to", "h:1", "--rate", "quick"], "quick"),
        (["--to", "h:1", "--rate", "1mbit", "--trace", "trace.csv"], "leave out --rate"),
        (["--to", "h:1", "--outage", "5"], "30s+2s"),
        (["--to", "h:1", "--trace", "missing.csv"], "missing.csv"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], complaint: str) -> None:
    shown = CliRunner().invoke(app, ["link", *arguments])
    assert shown.exit_code == 1
    assert complaint in shown.stderr
    assert shown.stderr.count("\n") == 1
