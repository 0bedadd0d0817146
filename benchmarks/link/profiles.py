"""Named links: rate and round trip of typical radios.

Sources of the figures:

- `nb-iot`, `lte-m` and `3g` are the links Overtone is measured on: 60 kbit/s and 600 ms, 300 kbit/s and 120
  ms, 1 Mbit/s and 100 ms. The first two are near the maximum uplink rate that 3GPP Release 13 gives one device
  (NB-IoT multi-tone 62.5 kbit/s, half-duplex Cat-M1 375 kbit/s); the third is a plain UMTS/HSPA link.
- `satellite` is geostationary: the small public broadband access of draft-kuhn-quic-4-sat-06 (10 Mbit/s down,
  2 Mbit/s up, 650 ms). Light alone takes 558 ms there and back (RFC 2488, section 2).
- `lte` is WebPageTest's LTE (`connectivity.ini`: 12 Mbit/s each way, 70 ms).
- `wifi` is Firefox's Wi-Fi (its network monitor's throttling: 30 Mbit/s down, 15 Mbit/s up, 2 ms).

None has jitter: the sources state none. Add what you have measured.
"""

import math
from dataclasses import dataclass, replace

from rich.table import Table

from overtone.benchmarks.link.rate import UNLIMITED, Rate, UnitError, parse_duration


@dataclass(frozen=True)
class LinkProfile:
    """The properties of a link.

    Attributes:
        name: how it is asked for.
        up: rate from the device to the server.
        down: rate back.
        rtt: round trip in seconds, of an idle link and an empty packet.
        jitter: the round trip varies by at most this many seconds either way.
        about: what it stands for, in a few words.

    Raises:
        UnitError: a figure out of its range.
    """

    name: str
    up: Rate = UNLIMITED
    down: Rate = UNLIMITED
    rtt: float = 0.0
    jitter: float = 0.0
    about: str = ""

    def __post_init__(self) -> None:
        for what, seconds in (("round trip", self.rtt), ("jitter", self.jitter)):
            if not 0 <= seconds < math.inf:
                raise UnitError(f"the {what} must be zero or more seconds, got {seconds}")

    def changed(
        self,
        *,
        up: Rate | str | None = None,
        down: Rate | str | None = None,
        rtt: float | str | None = None,
        jitter: float | str | None = None,
    ) -> "LinkProfile":
        """The same link with some figures replaced; None leaves one as it is.

        Raises:
            UnitError: a figure that cannot be read or is out of its range.
        """
        rates = {name: _rate(value) for name, value in (("up", up), ("down", down)) if value is not None}
        times = {name: _seconds(v) for name, v in (("rtt", rtt), ("jitter", jitter)) if v is not None}
        return replace(self, **rates, **times)  # type: ignore[arg-type]

    def __str__(self) -> str:
        jitter = f" ± {self.jitter * 1e3:g} ms" if self.jitter else ""
        return f"{self.up} up, {self.down} down, {self.rtt * 1e3:g} ms{jitter}"


def _rate(rate: Rate | str) -> Rate:
    return Rate.parse(rate) if isinstance(rate, str) else rate


def _seconds(duration: float | str) -> float:
    return parse_duration(duration) if isinstance(duration, str) else duration


def _known(name: str, up: str, down: str, rtt: str, about: str) -> LinkProfile:
    return LinkProfile(name, about=about).changed(up=up, down=down, rtt=rtt)


PROFILES: dict[str, LinkProfile] = {
    profile.name: profile
    for profile in (
        _known("nb-iot", "60kbit", "60kbit", "600ms", "meters, deep indoors"),
        _known("lte-m", "300kbit", "300kbit", "120ms", "battery-powered devices"),
        _known("3g", "1mbit", "1mbit", "100ms", "UMTS/HSPA"),
        _known("satellite", "2mbit", "10mbit", "650ms", "geostationary broadband"),
        _known("lte", "12mbit", "12mbit", "70ms", "a phone"),
        _known("wifi", "15mbit", "30mbit", "2ms", "a local network"),
        LinkProfile("unlimited", about="not shaped, only counted"),
    )
}


def link_profile(name: str) -> LinkProfile:
    """The profile of that name.

    Raises:
        UnitError: there is none; the message lists the known names.
    """
    try:
        return PROFILES[name.strip().lower()]
    except KeyError:
        raise UnitError(f"no link profile {name!r}: choose from {', '.join(PROFILES)}") from None


def table() -> Table:
    """The profiles for people."""
    made = Table(box=None, header_style="bold")
    made.add_column("profile")
    for heading in ("up", "down", "round trip"):
        made.add_column(heading, justify="right")
    made.add_column("stands for")
    for profile in PROFILES.values():
        made.add_row(
            profile.name, str(profile.up), str(profile.down), f"{profile.rtt * 1e3:g} ms", profile.about
        )
    return made
