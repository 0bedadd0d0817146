"""Links by name: how fast, how far away and how steady a radio is.

Where the figures are from:

- `nb-iot`, `lte-m` and `3g` are what Overtone is judged on: 60 kbit/s and 600 ms, 300 kbit/s and 120 ms, 1
  Mbit/s and 100 ms. The first two are near the most that 3GPP's Release 13 gives one device uplink (NB-IoT
  multi-tone 62.5 kbit/s, half-duplex Cat-M1 375 kbit/s), the third is a plain UMTS/HSPA link.
- `satellite` is geostationary: the small public broadband access of draft-kuhn-quic-4-sat-06 (10 Mbit/s down,
  2 Mbit/s up, 650 ms). Light alone takes 558 ms there and back (RFC 2488, section 2).
- `lte` is WebPageTest's LTE (`connectivity.ini`: 12 Mbit/s each way, 70 ms).
- `wifi` is Firefox's Wi-Fi (its network monitor's throttling: 30 Mbit/s down, 15 Mbit/s up, 2 ms).

None has jitter or loss: all of these sources say none, and radios of this kind repeat what is lost by
themselves (3GPP TS 23.203, table 6.1.7, allows bearers 8 and 9 one packet in a million). Add your own where
you have measured.
"""

import math
from dataclasses import dataclass, replace

from rich.table import Table

from overtone.benchmarks.link.rate import UNLIMITED, Rate, UnitError, parse_duration, parse_share


@dataclass(frozen=True)
class LinkProfile:
    """The shape of a link.

    Attributes:
        name: how it is asked for.
        up: rate from the device to the server.
        down: rate back.
        rtt: round trip in seconds, of an idle link and an empty packet.
        jitter: the round trip varies by at most this many seconds either way.
        loss: share of segments that are lost, 0 to below 1.
        about: what it stands for, in a few words.

    Raises:
        UnitError: a figure out of its range.
    """

    name: str
    up: Rate = UNLIMITED
    down: Rate = UNLIMITED
    rtt: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    about: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.rtt < math.inf:
            raise UnitError(f"the round trip must be zero or more seconds, got {self.rtt}")
        if not 0 <= self.jitter < math.inf:
            raise UnitError(f"the jitter must be zero or more seconds, got {self.jitter}")
        if not 0 <= self.loss < 1:
            raise UnitError(f"the loss must be a share from 0 to below 1, got {self.loss}")

    def changed(
        self,
        *,
        up: Rate | str | None = None,
        down: Rate | str | None = None,
        rtt: float | str | None = None,
        jitter: float | str | None = None,
        loss: float | str | None = None,
    ) -> "LinkProfile":
        """The same link with some figures of its own; None leaves one as it is.

        Raises:
            UnitError: a figure that cannot be read or is out of its range.
        """
        return replace(
            self,
            up=self.up if up is None else _rate(up),
            down=self.down if down is None else _rate(down),
            rtt=self.rtt if rtt is None else _seconds(rtt),
            jitter=self.jitter if jitter is None else _seconds(jitter),
            loss=self.loss if loss is None else parse_share(loss) if isinstance(loss, str) else loss,
        )

    def __str__(self) -> str:
        extra = f" ± {self.jitter * 1e3:g} ms" if self.jitter else ""
        lost = f", {self.loss:.2%} lost" if self.loss else ""
        return f"{self.up} up, {self.down} down, {self.rtt * 1e3:g} ms{extra}{lost}"


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
        _known("lte-m", "300kbit", "300kbit", "120ms", "devices on batteries"),
        _known("3g", "1mbit", "1mbit", "100ms", "UMTS/HSPA"),
        _known("satellite", "2mbit", "10mbit", "650ms", "geostationary broadband"),
        _known("lte", "12mbit", "12mbit", "70ms", "a phone"),
        _known("wifi", "15mbit", "30mbit", "2ms", "the next room"),
        LinkProfile("unlimited", about="only counted"),
    )
}


def link_profile(name: str) -> LinkProfile:
    """The profile of that name.

    Raises:
        UnitError: there is none; the message names those there are.
    """
    try:
        return PROFILES[name.strip().lower()]
    except KeyError:
        raise UnitError(f"no link is called {name!r}: there are {', '.join(PROFILES)}") from None


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
