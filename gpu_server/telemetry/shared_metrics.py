"""The metrics of all processes of a server together, by the multiprocess mode of prometheus_client."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# How metrics are combined that are not summed over the processes.
COMBINED: dict[str, Callable[[Iterable[float]], float]] = {
    "process_start_time_seconds": min,
    "process_max_fds": min,
}


@contextmanager
def shared(directory: Path) -> Iterator[None]:
    """Have all processes that are started inside count in files of this folder."""
    directory.mkdir()
    os.environ[VARIABLE] = str(directory)
    try:
        yield
    finally:
        del os.environ[VARIABLE]


def folder() -> Path | None:
    """The folder with the counters of this server's processes; None if there is only one process."""
    name = os.environ.get(VARIABLE)
    return Path(name) if name else None


def text(directory: Path) -> bytes:
    """The metrics of all processes that count in this folder, in the text format of Prometheus."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory))  # type: ignore[no-untyped-call]
    registry.register(_Processes(directory))
    return generate_latest(registry)


class _Processes:
    """Memory, processor time and files of all processes that run."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterator[Metric]:
        found: dict[str, list[Metric]] = {}
        for pid in sorted({path.stem.rpartition("_")[2] for path in self._directory.glob("*.db")}):
            for metric in ProcessCollector(pid=partial(str, pid), registry=None).collect():
                found.setdefault(metric.name, []).append(metric)
        for name, metrics in found.items():
            first, values = metrics[0], [sample.value for metric in metrics for sample in metric.samples]
            combined = Metric(name, first.documentation, first.type)
            combined.add_sample(first.samples[0].name, {}, COMBINED.get(name, sum)(values))
            yield combined
