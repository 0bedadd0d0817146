"""The command `overtone link`: a link of its own process, until interrupted, with a live line of counters."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.live import Live

from overtone.benchmarks.link.link import Link
from overtone.benchmarks.link.profiles import table
from overtone.benchmarks.link.rate import UnitError


class Use(NamedTuple):
    """Shares of the time: `busy` on a core, `waited` for one that others had (Linux tells; elsewhere 0)."""

    busy: float
    waited: float

    def __str__(self) -> str:
        waited = f" and waiting for a core {self.waited:.0%}" if self.waited >= 0.005 else ""
        return f"busy {self.busy:.0%}{waited}"


class Meter:
    """How much of one core this process needs; near 100 % the link is slower than it says."""

    def __init__(self) -> None:
        self._begun = self._last = _spent()

    def lately(self) -> Use:
        """Since the last call."""
        before, self._last = self._last, _spent()
        return _use(before, self._last)

    def so_far(self) -> Use:
        """Since the beginning."""
        return _use(self._begun, _spent())


def _spent() -> tuple[float, float, float]:
    """Seconds on a core, in the queue for one, and on the wall's clock."""
    try:
        waited = int(Path("/proc/self/schedstat").read_text().split()[1]) * 1e-9
    except OSError:
        waited = 0.0
    return time.process_time(), waited, time.perf_counter()


def _use(before: tuple[float, float, float], after: tuple[float, float, float]) -> Use:
    busy, waited, wall = (b - a for a, b in zip(before, after, strict=True))
    return Use(busy / max(wall, 1e-9), waited / max(wall, 1e-9))


def describe(link: Link) -> str:
    """One line: where it listens and its shape."""
    extras = [
        "a trace" if link.trace else str(link.profile),
        "a modem for each connection" if link.per_connection else "",
        f"{link.outage.length:g} s away after every {link.outage.service:g} s" if link.outage else "",
    ]
    way = f"overtone link {link.address} -> {link.target[0]}:{link.target[1]}"
    return ", ".join([way, *filter(None, extras)])


def counters(link: Link, use: Use) -> str:
    """One line: what it has carried, and how well this machine kept up."""
    total = link.total
    line = (
        f"{total.up:,} bytes up, {total.down:,} down of TCP payload; about {total.air_up:,} and "
        f"{total.air_down:,} on the air; {total.again:,} segments sent again; {link.open} open; "
        f"{use}, at most {link.late * 1e3:.0f} ms late"
    )
    if link.refused:
        line += "; out of files: raise the limit (ulimit -Hn), or say --connections"
    return line


@contextlib.asynccontextmanager
async def _stopped_by_signals() -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _watch(link: Link, console: Console) -> None:
    async with _stopped_by_signals() as stop, link:
        print(describe(link), flush=True)
        meter = Meter()
        with Live("", console=console, transient=True) as live:
            while not stop.is_set():
                live.update(counters(link, meter.lately()))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 0.25)
        print(counters(link, meter.so_far()), flush=True)


def run(
    to: str,
    *,
    profile: str = "unlimited",
    rate: str | None = None,
    up: str | None = None,
    down: str | None = None,
    trace: Path | None = None,
    **more: Any,
) -> int:
    """Relay until interrupted.

    Args:
        to: the target, HOST:PORT.
        profile: name of one of `benchmarks.link.profiles`.
        rate: of both directions, unless `up` or `down` says otherwise.
        up: rate from those who connect to the target.
        down: rate back.
        trace: CSV of recorded rates, instead of these.
        more: as `Link` has it.

    Returns:
        The exit code.
    """
    console = Console(stderr=True)
    try:
        if trace and (rate or up or down):
            raise UnitError("a trace says the rates by itself: leave out --rate, --up and --down")
        link = Link(to, profile=profile, up=up or rate, down=down or rate, trace=trace, **more)
        asyncio.run(_watch(link, console))
    except (UnitError, OSError) as error:
        console.print(f"overtone link: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        return 1
    return 0


def show_profiles() -> int:
    """The command `overtone link --list`: the links there are by name."""
    Console().print(table())
    return 0
