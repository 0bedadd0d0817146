"""Progress on standard error: a bar on a terminal, and a line now and then in a file or a pipe."""

import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")

# Seconds between two lines.
EVERY = 30.0


def tracked(items: Iterable[T], what: str, total: int | None = None) -> Iterable[T]:
    """The same items, with a bar that disappears at the end, or with lines if they take long."""
    console = Console(stderr=True)
    if console.is_terminal:
        return track(items, what, total=total, console=console, transient=True)
    return _told(items, what, total or (len(items) if isinstance(items, Sized) else None))


def _told(items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
    started = last = time.monotonic()
    for count, item in enumerate(items):
        now = time.monotonic()
        if count and now - last >= EVERY:
            last = now
            left = f", {duration((total - count) * (now - started) / count)} left" if total else ""
            of = f" of {total}" if total else ""
            Console(stderr=True).print(f"{what}: {count}{of}{left}", soft_wrap=True, highlight=False)
        yield item


def duration(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 90:
        return f"about {max(seconds, 1):.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
