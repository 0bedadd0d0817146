"""The processor time of a service: of its process, of those it has started, and of those they have."""

import contextlib
from collections.abc import Iterator

import psutil


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its descendants so far; those that have ended count too."""
    total = 0.0
    for process in _tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


@contextlib.contextmanager
def leaving_nothing() -> Iterator[list[psutil.Process]]:
    """Kill on leaving what is still there of the processes in the list: they would be measured with the next server."""
    left: list[psutil.Process] = []
    try:
        yield left
    finally:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def descendants(pid: int) -> list[psutil.Process]:
    """The processes that a process has started, and those that they have."""
    return _tree(pid)[1:]


def _tree(pid: int) -> list[psutil.Process]:
    """The process first, then its descendants; none if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []
