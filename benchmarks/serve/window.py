"""The part of a load that is measured: after the warm-up, for some seconds."""

import asyncio
import json
import time
from collections.abc import Callable

import numpy as np

BEGIN = "begin"


class Window:
    """Counts answers once the warm-up is over; the parent process is told of its begin and its end by lines.

    Args:
        warm_up: seconds of load before it.
        seconds: that it lasts.
        say: prints a line.
    """

    def __init__(self, warm_up: float, seconds: float, say: Callable[[str], None]) -> None:
        self._warm_up, self._seconds, self._say = warm_up, seconds, say
        self._latencies: list[float] = []
        self._failures: list[str] = []
        self._open = False

    def answered(self, sent: float, failure: str | None = None) -> None:
        """Count an image that was sent at this time (`time.perf_counter`) and has been answered, or has failed."""
        if not self._open:
            return
        if failure is None:
            self._latencies.append(time.perf_counter() - sent)
        else:
            self._failures.append(failure)

    async def run(self) -> None:
        """Wait for the warm-up, count, and print what was counted as a line of JSON."""
        await asyncio.sleep(self._warm_up)
        self._open = True
        self._say(BEGIN)
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(self._seconds)
        self._open = False
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        self._say(json.dumps(self._result(seconds, cpu)))

    def _result(self, seconds: float, cpu: float) -> dict[str, object]:
        p50, p99 = np.percentile(self._latencies, (50, 99)) if self._latencies else (0.0, 0.0)
        return {
            "images": len(self._latencies),
            "seconds": seconds,
            "p50_ms": 1000 * float(p50),
            "p99_ms": 1000 * float(p99),
            "failed": len(self._failures),
            "failure": self._failures[0] if self._failures else "",
            "generator_busy": cpu / seconds,
        }
