"""The command `overtone link`: a relay in a process of its own, with a live line of counters."""

import asyncio
import contextlib
import signal
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from overtone.link.link import Link
from overtone.link.profiles import table
from overtone.link.rate import UnitError


class CpuMeter:
    """The share of one core that this process uses; near 100 % the link is slower than its profile."""

    def __init__(self) -> None:
        self._begun = self._last = time.process_time(), time.perf_counter()

    def lately(self) -> float:
        """The share since the last call."""
        before, self._last = self._last, (time.process_time(), time.perf_counter())
        return (self._last[0] - before[0]) / max(self._last[1] - before[1], 1e-9)

    def overall(self) -> float:
        """The share since the beginning."""
        self._last = self._begun
        return self.lately()


def heading(link: Link) -> str:
    """One line with the link's address, its target and its properties."""
    details = [
        "a trace" if link.trace else str(link.profile),
        "a modem for each connection" if link.per_connection else "",
        f"{link.outage.length:g} s of outage after every {link.outage.service:g} s" if link.outage else "",
    ]
    way = f"overtone link {link.address} -> {link.target[0]}:{link.target[1]}"
    return ", ".join([way, *filter(None, details)])


def counters(link: Link, busy: float) -> str:
    """One line with the bytes that the link has carried, and with how busy and late this machine was."""
    total = link.total
    line = (
        f"{total.up:,} bytes up, {total.down:,} down of TCP payload; about {total.upwards.wire:,} and "
        f"{total.downwards.wire:,} on the wire; {link.open} open; busy {busy:.0%}, "
        f"at most {link.late * 1e3:.0f} ms late"
    )
    if link.refused:
        line += "; out of files: raise the limit (ulimit -Hn), or use --connections"
    return line


async def _relay(link: Link) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with link:
        print(heading(link), flush=True)
        meter = CpuMeter()
        with Live("", console=Console(stderr=True), transient=True) as live:
            while not stop.is_set():
                live.update(counters(link, meter.lately()))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 0.25)
        print(counters(link, meter.overall()), flush=True)


def run(
    to: str, rate: str | None, up: str | None, down: str | None, trace: Path | None, **options: Any
) -> None:
    """Relay to HOST:PORT until interrupted; `rate` is of both directions, `options` are further ones of `Link`.

    Raises:
        ValueError: options that cannot be read or contradict each other, or no target.
        OSError: no such trace, or an address that cannot be listened on.
    """
    if not to:
        raise ValueError("give the server to relay to: --to HOST:PORT")
    if trace and (rate or up or down):
        raise UnitError("a trace has rates of its own: leave out --rate, --up and --down")
    asyncio.run(_relay(Link(to, up=up or rate, down=down or rate, trace=trace, **options)))


def show_profiles() -> None:
    """The command `overtone link --list`."""
    Console().print(table())
