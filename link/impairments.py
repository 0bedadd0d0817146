"""Impairments of a link: jitter and outages."""

import random
from dataclasses import dataclass

from overtone.link.rate import UnitError, parse_duration


class Jitter:
    """Random delays of one direction of one connection.

    Args:
        amplitude: of the round trip in seconds; one direction gets half of it.
        seed: identifies the direction; the same seed gives the same delays. None differs every time.
    """

    def __init__(self, amplitude: float = 0.0, seed: str | None = None) -> None:
        self._half = amplitude / 2
        self._random = random.Random(seed)

    def draw(self) -> float:
        """Seconds to add to the next segment's delay, uniform in ± half the amplitude."""
        return self._random.uniform(-self._half, self._half) if self._half else 0.0


@dataclass(frozen=True)
class Outage:
    """`service` seconds of service, then `length` seconds without, over and over.

    During a frozen outage nothing moves and connections stay open, as in a tunnel. With `reset`, connections
    break and new ones are refused.
    """

    service: float
    length: float
    reset: bool = False

    def __post_init__(self) -> None:
        if not (self.service > 0 and self.length > 0):
            raise UnitError("an outage needs a time of service before it and a length, both above zero")

    @classmethod
    def parse(cls, text: str) -> "Outage":
        """Read "30s+2s" or "30s+2s:reset".

        Raises:
            UnitError: anything else.
        """
        times, colon, mode = text.partition(":")
        service, plus, length = times.partition("+")
        if not plus or (colon and mode not in ("reset", "freeze")):
            raise UnitError(
                f"cannot read the outage {text!r}: write 30s+2s for two seconds of outage after every thirty "
                "seconds of service, or 30s+2s:reset to break connections too"
            )
        return cls(parse_duration(service), parse_duration(length), mode == "reset")
