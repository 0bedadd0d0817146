"""How fast a link is: rates and durations as people write them, and the token bucket that keeps to one."""

import math
import re
from dataclasses import dataclass
from typing import Protocol

MTU_PAYLOAD = 1448  # bytes of TCP payload in an Ethernet frame, timestamps on
_BITS = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_SHARE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", re.ASCII)
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+)\s*", re.ASCII)


class UnitError(ValueError):
    """A rate, a duration or the like that cannot be read; the message shows how to write one."""


@dataclass(frozen=True)
class Rate:
    """Bits per second; infinite means unshaped."""

    bits: float

    def __post_init__(self) -> None:
        if not self.bits > 0:
            raise UnitError(f"a rate must be above zero, got {self.bits}; for a dead link, cut it")

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read "1mbit", "300kbit", "60kbit/s", "2.5 Mbit/s" or "unlimited" (decimal, as tc has it).

        Raises:
            UnitError: anything else, "1mb" and "1mbps" too: those mean bytes to some and bits to others.
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

    def after(self, moment: float, size: int) -> float:
        """When `size` bytes that begin at `moment` have left."""
        return moment + self.seconds(size)

    def __str__(self) -> str:
        if math.isinf(self.bits):
            return "unlimited"
        unit = next(name for name, bits in reversed(_BITS.items()) if self.bits >= bits or name == "bit")
        # SI's prefixes: k is the only small one.
        shown = unit if unit in ("bit", "kbit") else unit.capitalize()
        return f"{self.bits / _BITS[unit]:g} {shown}/s"


UNLIMITED = Rate(math.inf)


def parse_duration(text: str) -> float:
    """Seconds of "50ms", "0.1s" or "200us".

    Raises:
        UnitError: anything else; a bare number has no unit and is refused.
    """
    match = _QUANTITY.fullmatch(text.strip().lower())
    if match is None or match[2] not in _SECONDS:
        raise UnitError(f"cannot read the duration {text!r}: write 50ms, 0.1s or 200us")
    return float(match[1]) * _SECONDS[match[2]]


def parse_share(text: str) -> float:
    """The share in "1%", "0.5 %" or "0.01".

    Raises:
        UnitError: anything else, and more than all.
    """
    match = _SHARE.fullmatch(text)
    share = math.inf if match is None else float(match[1]) / (100 if match[2] else 1)
    if share > 1:
        raise UnitError(f"cannot read the share {text!r}: write 1% or 0.01")
    return share


class Pace(Protocol):
    """How fast bytes leave as time goes on: a `Rate`, or a rate that changes."""

    def after(self, moment: float, size: int) -> float:
        """When `size` bytes that begin at `moment` have left."""


class Bucket:
    """A token bucket as a schedule: when has the last byte of a piece left, if it is offered now?

    Times are absolute and only ever added to, so neither rounding nor a late wake-up accumulates. `burst`
    is in seconds of tokens an idle link may save up: enough to make up for the event loop being late. A
    burst of one MTU, usual with tc, would let a whole low payload cross a 60 kbit/s link in no time.
    """

    def __init__(self, pace: Pace, burst: float = 0.002) -> None:
        self._pace = pace
        self.burst = burst
        self._free = -math.inf  # when the last piece so far has left

    def depart(self, now: float, size: int) -> float:
        """Take a piece of `size` bytes at time `now`; the time at which it has left, never before `now`."""
        self._free = self._pace.after(max(self._free, now - self.burst), size)
        return max(now, self._free)

    def room_at(self, depth: float) -> float:
        """The time from which at most `depth` seconds of bytes are waiting."""
        return self._free - depth
