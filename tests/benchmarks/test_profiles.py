import pytest
from rich.console import Console
from typer.testing import CliRunner

from overtone.benchmarks.link.link import Link
from overtone.benchmarks.link.profiles import PROFILES, LinkProfile, link_profile, table
from overtone.benchmarks.link.rate import UNLIMITED, Rate, UnitError
from overtone.cli import app


@pytest.mark.parametrize(
    ("name", "rate", "rtt"),
    [
        ("nb-iot", "60kbit", 0.6),
        ("lte-m", "300kbit", 0.12),
        ("3g", "1mbit", 0.1),
        ("unlimited", "unlimited", 0),
    ],
)
def test_the_links_that_overtone_is_judged_on(name: str, rate: str, rtt: float) -> None:
    profile = link_profile(name)
    assert profile.up == profile.down == Rate.parse(rate)
    assert profile.rtt == pytest.approx(rtt)


def test_names_are_keys_and_the_table_shows_all() -> None:
    assert all(name == profile.name for name, profile in PROFILES.items())
    console = Console(width=110)
    with console.capture() as shown:
        console.print(table())
    assert all(name in shown.get() for name in PROFILES)


def test_an_unknown_link_names_the_known() -> None:
    with pytest.raises(UnitError, match="nb-iot"):
        link_profile("carrier-pigeon")


def test_what_is_given_overrides_the_profile_and_the_rest_stays() -> None:
    link = Link("h:1", profile="satellite", up="1mbit", rtt=0.5, loss="2%")
    assert (link.up, link.down, link.rtt) == (Rate(1e6), PROFILES["satellite"].down, 0.5)
    assert (link.profile.loss, link.profile.jitter) == (0.02, 0.0)
    assert Link("h:1", profile=link_profile("3g"), up="unlimited").up == UNLIMITED


def test_without_a_profile_nothing_is_shaped() -> None:
    assert Link("h:1").profile == PROFILES["unlimited"]


@pytest.mark.parametrize("wrong", [{"rtt": -1.0}, {"jitter": -0.1}, {"loss": 1.0}, {"loss": -0.1}])
def test_figures_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UnitError):
        LinkProfile("x", **wrong)  # type: ignore[arg-type]


def test_a_profile_prints_what_it_has() -> None:
    assert str(LinkProfile("x", rtt=0.05)) == "unlimited up, unlimited down, 50 ms"
    assert str(LinkProfile("x", rtt=0.05, jitter=0.01, loss=0.005)).endswith("50 ms ± 10 ms, 0.50% lost")


def test_the_command_lists_them() -> None:
    shown = CliRunner().invoke(app, ["link", "--list"])
    assert shown.exit_code == 0
    assert all(name in shown.output for name in PROFILES)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "--to HOST:PORT"),
        (["--to", "h:1", "--profile", "pigeon"], "pigeon"),
        (["--to", "h:1", "--loss", "5"], "1%"),
        (["--to", "h:1", "--outage", "5"], "30s+2s"),
        (["--to", "h:1", "--trace", "missing.csv"], "missing.csv"),
    ],
)
def test_the_command_says_in_a_line_what_is_wrong(arguments: list[str], complaint: str) -> None:
    shown = CliRunner().invoke(app, ["link", *arguments])
    assert shown.exit_code == 1
    assert complaint in shown.output
    assert shown.output.count("\n") == 1
