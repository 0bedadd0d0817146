"""A recorded link: its rate, and its round trip where known, second by second, repeated endlessly.

The file is CSV with a header: `time` in seconds from zero on, `rate` or `up` and `down` as in "300kbit" or
plain bits per second (0 is a dead link), and optionally `rtt` as in "80ms". A line holds until the next; the
last one lasts as long as the one before it, then the trace begins again:

    time,up,down,rtt
    0,300kbit,500kbit,110ms
    1,120kbit,450kbit,180ms
"""

import csv
import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from overtone.link.rate import Rate, UnitError, parse_duration

Side = Literal["up", "down"]
Fields = dict[str, str | None]


class Moment(NamedTuple):
    """From `time` (seconds) on: bits per second each way, and the round trip in seconds if recorded."""

    time: float
    up: float
    down: float
    rtt: float | None = None


@dataclass(frozen=True)
class Trace:
    """A recorded link.

    Raises:
        UnitError: times do not begin at zero and increase, or a direction never carries anything.
    """

    moments: tuple[Moment, ...]

    def __post_init__(self) -> None:
        times = self.times
        if not times or times[0] != 0 or any(a >= b for a, b in pairwise(times)):
            raise UnitError("the times of a trace must begin at 0 and increase from line to line")
        for side in ("up", "down"):
            rates = [getattr(moment, side) for moment in self.moments]
            if not max(rates) > 0 or not all(0 <= rate < math.inf for rate in rates):
                raise UnitError(f"a trace's rates must be finite and not all zero; {side} is not")

    @classmethod
    def read(cls, path: Path | str) -> "Trace":
        """The trace in a file.

        Raises:
            UnitError: a line that cannot be read; the message has its number.
            OSError: no such file.
        """
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            moments = []
            for row in rows:
                try:
                    moments.append(_moment(row))
                except (KeyError, TypeError, ValueError) as error:
                    why = error if isinstance(error, UnitError) else f"cannot read it ({error})"
                    raise UnitError(f"{path}, line {rows.line_num}: {why}") from None
        try:
            return cls(tuple(moments))
        except UnitError as error:
            raise UnitError(f"{path}: {error}") from None

    @property
    def times(self) -> list[float]:
        """The times at which the moments begin, in seconds."""
        return [moment.time for moment in self.moments]

    @property
    def period(self) -> float:
        """The length of the trace in seconds, after which it begins again."""
        return self.times[-1] + (self.times[-1] - self.times[-2] if len(self.times) > 1 else 1.0)

    @property
    def longest_rtt(self) -> float:
        """The longest round trip recorded, in seconds; 0 if none was."""
        return max(moment.rtt or 0.0 for moment in self.moments)

    def schedule(self, side: Side, start: float) -> "RecordedRate":
        """The rate of one direction, for a link that was opened at `start`."""
        bits = [getattr(moment, side) for moment in self.moments]
        return RecordedRate(self.times, bits, self.period, start)

    def rtt(self, since: float) -> float | None:
        """The round trip `since` seconds after the link was opened."""
        return self.moments[bisect_right(self.times, since % self.period) - 1].rtt


class RecordedRate:
    """A `Schedule` that follows recorded rates; bytes wait while the rate is zero."""

    def __init__(self, times: list[float], bits: list[float], period: float, start: float) -> None:
        self._times, self._period, self._start = times, period, start
        self._rates = [rate / 8 for rate in bits]
        self._sums = [0.0]  # bytes carried until each of the times, and in a whole period
        for begin, end, rate in zip(times, [*times[1:], period], self._rates, strict=True):
            self._sums.append(self._sums[-1] + (end - begin) * rate)

    @property
    def mean(self) -> Rate:
        """The mean rate over a period."""
        return Rate(8 * self._sums[-1] / self._period)

    def finish(self, start: float, size: int) -> float:
        """The time at which `size` bytes whose transmission begins at `start` have left."""
        rounds, offset = divmod(start - self._start, self._period)
        at = bisect_right(self._times, offset) - 1
        goal = self._sums[at] + (offset - self._times[at]) * self._rates[at] + size
        more, rest = divmod(goal, self._sums[-1])
        return max(start, self._start + (rounds + more) * self._period + self._reached(rest))

    def _reached(self, carried: float) -> float:
        """The first time within a period at which so many bytes have been carried."""
        at = max(0, bisect_left(self._sums, carried) - 1)
        left = carried - self._sums[at]
        return self._times[at] + (left / self._rates[at] if left else 0.0)


def _moment(row: Fields) -> Moment:
    up, down = (_bits(row.get(side) or _field(row, "rate")) for side in ("up", "down"))
    rtt = row.get("rtt")
    return Moment(float(_field(row, "time")), up, down, parse_duration(rtt) if rtt else None)


def _field(row: Fields, name: str) -> str:
    text = row.get(name)
    if not text:
        raise UnitError(f"there is no {name}; the header is time,rate or time,up,down, and rtt may follow")
    return text


def _bits(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return Rate.parse(text).bits
