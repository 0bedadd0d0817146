"""Named links: rate and round trip of typical radios.

Sources of the figures:

- `nb-iot`, `lte-m` and `3g` are the links Overtone is measured on. The first two are near the maximum uplink rate
  that 3GPP Release 13 gives one device (NB-IoT multi-tone 62.5 kbit/s, half-duplex Cat-M1 375 kbit/s); the third
  is a plain UMTS/HSPA link.
- `satellite` is geostationary: the small public broadband access of draft-kuhn-quic-4-sat-06. Light alone takes
  558 ms there and back (RFC 2488, section 2).
- `lte` is WebPageTest's LTE (`connectivity.ini`), `wifi` is Firefox's Wi-Fi (its network monitor's throttling).

None has jitter: the sources state none. Add what you have measured.
"""

import math
from dataclasses import dataclass, replace

from rich.table import Table

from overtone.link.rate import UNLIMITED, Rate, UnitError, parse_duration


@dataclass(frozen=True)
class LinkProfile:
    """A link: rates to and from the server, round trip of an empty packet and its variation in seconds.

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
        for figure, seconds in (("round trip", self.rtt), ("jitter", self.jitter)):
            if not 0 <= seconds < math.inf:
                raise UnitError(f"the {figure} must be zero or more seconds, got {seconds}")

    def changed(
        self,
        up: Rate | str | None = None,
        down: Rate | str | None = None,
        rtt: float | str | None = None,
        jitter: float | str | None = None,
    ) -> "LinkProfile":
        """The same link with some figures replaced; None leaves one as it is.

        Raises:
            UnitError: a figure that cannot be read or is out of its range.
        """
        rates = {n: Rate.parse(v) if isinstance(v, str) else v for n, v in (("up", up), ("down", down)) if v}
        times = {
            name: parse_duration(value) if isinstance(value, str) else value
            for name, value in (("rtt", rtt), ("jitter", jitter))
            if value is not None
        }
        return replace(self, **rates, **times)  # type: ignore[arg-type]

    def __str__(self) -> str:
        jitter = f" ± {self.jitter * 1e3:g} ms" if self.jitter else ""
        return f"{self.up} up, {self.down} down, {self.rtt * 1e3:g} ms{jitter}"


PROFILES: dict[str, LinkProfile] = {
    name: LinkProfile(name, about=about).changed(up, down, rtt)
    for name, up, down, rtt, about in (
        ("nb-iot", "60kbit", "60kbit", "600ms", "meters, deep indoors"),
        ("lte-m", "300kbit", "300kbit", "120ms", "battery-powered devices"),
        ("3g", "1mbit", "1mbit", "100ms", "UMTS/HSPA"),
        ("satellite", "2mbit", "10mbit", "650ms", "geostationary broadband"),
        ("lte", "12mbit", "12mbit", "70ms", "a phone"),
        ("wifi", "15mbit", "30mbit", "2ms", "a local network"),
        ("unlimited", "unlimited", "unlimited", "0ms", "not shaped, only counted"),
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
    """A table of all profiles."""
    rows = Table("profile", box=None, header_style="bold")
    for heading in ("up", "down", "round trip"):
        rows.add_column(heading, justify="right")
    rows.add_column("stands for")
    for p in PROFILES.values():
        rows.add_row(p.name, str(p.up), str(p.down), f"{p.rtt * 1e3:g} ms", p.about)
    return rows
