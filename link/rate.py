"""Rates and durations as people write them, and the token bucket that enforces a rate."""

import math
import re
from dataclasses import dataclass
from typing import Protocol

MTU_PAYLOAD = 1448  # bytes of TCP payload in an Ethernet frame, with TCP timestamps
_BITS = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+)\s*", re.ASCII)


class UnitError(ValueError):
    """A rate, duration or similar that cannot be read; the message shows how to write one."""


class Schedule(Protocol):
    """How fast bytes leave: a constant `Rate`, or a rate that changes over time."""

    def finish(self, start: float, size: int) -> float:
        """The time at which `size` bytes whose transmission begins at `start` have left."""


@dataclass(frozen=True)
class Rate:
    """Bits per second; infinite means unshaped."""

    bits: float

    def __post_init__(self) -> None:
        if not self.bits > 0:
            raise UnitError(
                f"a rate must be above zero, got {self.bits}; to simulate a dead link, use an outage"
            )

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read "1mbit", "300kbit", "60kbit/s", "2.5 Mbit/s" or "unlimited" (decimal units, as in `tc`).

        Raises:
            UnitError: anything else, including "1mb" and "1mbps", which are ambiguous between bytes and bits.
        """
        word = text.strip().lower()
        if word == "unlimited":
            return UNLIMITED
        match = _QUANTITY.fullmatch(word.removesuffix("/s"))
        if match is None or match[2] not in _BITS:
            raise UnitError(f"cannot read the rate {text!r}: write 60kbit, 1mbit, 2.5mbit/s or unlimited")
        return cls(float(match[1]) * _BITS[match[2]])

    @property
    def bytes(self) -> float:
        """Bytes per second."""
        return self.bits / 8

    def seconds(self, size: int) -> float:
        """How long `size` bytes take."""
        return size / self.bytes

    def finish(self, start: float, size: int) -> float:
        """The time at which `size` bytes whose transmission begins at `start` have left."""
        return start + self.seconds(size)

    def __str__(self) -> str:
        if math.isinf(self.bits):
            return "unlimited"
        unit = next(name for name, bits in reversed(_BITS.items()) if self.bits >= bits or name == "bit")
        # SI writes kilo in lower case and the larger prefixes in upper case.
        shown = unit if unit in ("bit", "kbit") else unit.capitalize()
        return f"{self.bits / _BITS[unit]:g} {shown}/s"


UNLIMITED = Rate(math.inf)


def parse_duration(text: str) -> float:
    """Seconds of "50ms", "0.1s" or "200us".

    Raises:
        UnitError: anything else, including a number without a unit.
    """
    match = _QUANTITY.fullmatch(text.strip().lower())
    if match is None or match[2] not in _SECONDS:
        raise UnitError(f"cannot read the duration {text!r}: write 50ms, 0.1s or 200us")
    return float(match[1]) * _SECONDS[match[2]]


class Bucket:
    """A token bucket that computes absolute departure times, so that no error accumulates.

    `burst` is how many seconds' worth of tokens an idle link may save up: enough to compensate for a late event
    loop. A burst of one MTU, usual with `tc`, would let a whole low payload cross a 60 kbit/s link in no time.
    """

    def __init__(self, schedule: Schedule, burst: float = 0.002) -> None:
        self._schedule = schedule
        self.burst = burst
        self._free = -math.inf  # when the last piece so far has left

    def depart(self, now: float, size: int) -> float:
        """Add `size` bytes at time `now`; the time at which they have left, never before `now`."""
        self._free = self._schedule.finish(max(self._free, now - self.burst), size)
        return max(now, self._free)

    def room_at(self, depth: float) -> float:
        """The time from which at most `depth` seconds' worth of bytes are queued."""
        return self._free - depth
