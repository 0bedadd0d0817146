"""What makes a link unsteady: jitter, loss and outages."""

import random
from dataclasses import dataclass

from overtone.benchmarks.link.rate import UnitError, parse_duration

# RFC 6298, section 2.1: before anything is known of the round trip; the first SYN waits for as long.
FIRST_TIMEOUT = 1.0
# No connection outlives more in a row; Linux gives up on a SYN after as many.
MOST_LOSSES = 6


class Luck:
    """The dice of one direction of one connection: the same seed and the same segments give the same luck.

    Args:
        jitter: of the round trip in seconds; a direction has half of it, drawn evenly for each segment.
        loss: share of segments lost, each by itself.
        seed: whatever tells this direction from all others; None is different every time.
    """

    def __init__(self, jitter: float = 0.0, loss: float = 0.0, seed: str | None = None) -> None:
        self._jitter, self._loss = jitter, loss
        self._dice = random.Random(seed)

    @property
    def lossy(self) -> bool:
        """Whether anything may be lost at all."""
        return self._loss > 0

    def loses(self) -> bool:
        """Whether the next segment is lost."""
        return self._loss > 0 and self._dice.random() < self._loss

    def early_or_late(self) -> float:
        """Seconds to add to the next segment's way, below zero if it is quick."""
        return self._dice.uniform(-self._jitter / 2, self._jitter / 2) if self._jitter else 0.0

    def handshake(self) -> tuple[float, int]:
        """Seconds a new connection waits because of lost SYNs, and how many were sent again (RFC 6298)."""
        lost = 0
        while lost < MOST_LOSSES and (self.loses() or self.loses()):  # the SYN, or the answer to it
            lost += 1
        return FIRST_TIMEOUT * (2**lost - 1), lost


@dataclass(frozen=True)
class Outage:
    """`service` seconds of service, then `length` seconds without, over and over.

    Frozen, nothing moves and nobody is told, as in a tunnel; with `reset` connections break, and new ones
    too.
    """

    service: float
    length: float
    reset: bool = False

    def __post_init__(self) -> None:
        if not (self.service > 0 and self.length > 0):
            raise UnitError("an outage needs service before it and a length, each above zero")

    @classmethod
    def parse(cls, text: str) -> "Outage":
        """Read "30s+2s", or "30s+2s:reset".

        Raises:
            UnitError: anything else.
        """
        times, colon, how = text.partition(":")
        service, plus, length = times.partition("+")
        if not plus or (colon and how not in ("reset", "freeze")):
            raise UnitError(
                f"cannot read the outage {text!r}: write 30s+2s for two seconds away after every thirty of "
                "service, and 30s+2s:reset to break connections"
            )
        return cls(parse_duration(service), parse_duration(length), how == "reset")
