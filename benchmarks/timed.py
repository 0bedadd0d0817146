"""Time the parts of a measurement."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console


@contextmanager
def timed(what: str, console: Console) -> Iterator[None]:
    """Print how long the block took."""
    began = perf_counter()
    yield
    console.print(f"{what}: {perf_counter() - began:.0f} s", style="dim", highlight=False)
