"""Processor time and memory of a process and all its descendants."""

import contextlib

import psutil


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its descendants so far; those that have ended count too."""
    total = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def resident_bytes(pid: int) -> int:
    """Memory that a process and all its descendants hold."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def end_tree(pid: int, grace: float) -> None:
    """Tell a process to end, and kill what is left of its descendants after `grace` seconds.

    They hold the pipes of the process, so whoever reads these would wait for them, and they would be measured with
    the next server.
    """
    left = descendants(pid)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).terminate()
    _, alive = psutil.wait_procs(left, timeout=grace)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def descendants(pid: int) -> list[psutil.Process]:
    """The ids of the processes that a process has started, and of those that these have."""
    return tree(pid)[1:]


def tree(pid: int) -> list[psutil.Process]:
    """The ids of a process and then of its descendants; none if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []
