"""Requests that were in flight in a process that has died: the supervisor counts them as failed in its metrics.

Otherwise the counters of arrived and of ended requests would never be equal again.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import mark_process_dead

from overtone.gpu_server.arrival import Kind, Outcome

# The status that clients of the process get when their connection breaks.
CODE = "UNAVAILABLE"
# Names of counters, and the suffix of their samples.
ARRIVED, ENDED, REQUESTS = "overtone_arrived", "overtone_ended", "overtone_requests"
TOTAL = "_total"


def count(directory: Path, pid: int) -> int:
    """Add the requests that a process has not ended to its counters, as failed, and return their number.

    Args:
        directory: the folder in which prometheus_client keeps the counters of this server's processes.
        pid: of a process that has ended.
    """
    mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]
    file = directory / f"counter_{pid}.db"
    if not file.exists():  # it has never counted anything
        return 0
    with closing(MmapedDict(str(file))) as counters:  # type: ignore[no-untyped-call]
        lost = _in_flight(counters)
        for (face, kind), number in lost.items():
            _add(
                counters, ENDED, {"face": face, "kind": kind, "outcome": Outcome.FAILED, "code": CODE}, number
            )
            if kind in (Kind.IMAGE, Kind.CALL):
                _add(counters, REQUESTS, {"face": face, "code": CODE}, number)
    return lost.total()


def _in_flight(counters: MmapedDict) -> Counter[tuple[str, str]]:
    """How many requests have arrived and not ended, by transport (the label `face`) and kind."""
    found: Counter[tuple[str, str]] = Counter()
    for key, value, _ in counters.read_all_values():  # type: ignore[no-untyped-call]
        name, _, labels, _ = json.loads(key)
        if name in (ARRIVED, ENDED):
            found[labels["face"], labels["kind"]] += int(value) if name == ARRIVED else -int(value)
    return +found


def _add(counters: MmapedDict, name: str, labels: Mapping[str, str], number: int) -> None:
    keys = (json.loads(key) for key, _, _ in counters.read_all_values())  # type: ignore[no-untyped-call]
    # Part of the key: the help text of the metric.
    meaning = next((meaning for existing, _, _, meaning in keys if existing == name), "")
    key = mmap_key(name, name + TOTAL, list(labels), list(labels.values()), meaning)
    value, _ = counters.read_value(key)  # type: ignore[no-untyped-call]
    counters.write_value(key, value + number, time.time())  # type: ignore[no-untyped-call]
