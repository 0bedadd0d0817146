"""The consoles of `overtone classify` and `detect`: answers, errors, and on a terminal a bar below them."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@dataclass(frozen=True)
class Screen:
    """The consoles for answers and for errors, and the function to call after each image."""

    answers: Console
    errors: Console
    advance: Callable[[], None]


@contextlib.contextmanager
def screen(total: int, *, bar: bool = True) -> Iterator[Screen]:
    """A screen for so many images; there is a bar only if standard error is a terminal, and it goes in the end."""
    answers, errors = Console(), Console(stderr=True)
    if total < 2 or not bar or not errors.is_terminal:
        yield Screen(answers, errors, lambda: None)
        return
    left = (TimeRemainingColumn(), TextColumn("left"))
    with Progress(BarColumn(), MofNCompleteColumn(), *left, console=errors, transient=True) as progress:
        task = progress.add_task("", total=total)
        # Lines appear above the bar only if they go through its console.
        above = errors if sys.stdout.isatty() else answers
        yield Screen(above, errors, lambda: progress.advance(task))
