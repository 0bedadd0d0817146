"""What was in flight in a process that has been killed: it can no longer say that it failed, so others do.

Otherwise arrivals and ends of a server would never be equal again.
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

# What clients find that were connected to it.
CODE = "UNAVAILABLE"
# Counters, and the suffix of their samples.
ARRIVED, ENDED, REQUESTS = "overtone_arrived", "overtone_ended", "overtone_requests"
TOTAL = "_total"


def count(directory: Path, pid: int) -> int:
    """Count in its files what the process has not ended, and return how many that were.

    Args:
        directory: where the processes of this server count.
        pid: of one that has ended.
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
    """Arrivals without an end, by face and kind."""
    found: Counter[tuple[str, str]] = Counter()
    for key, value, _ in counters.read_all_values():  # type: ignore[no-untyped-call]
        name, _, labels, _ = json.loads(key)
        if name in (ARRIVED, ENDED):
            found[labels["face"], labels["kind"]] += int(value) if name == ARRIVED else -int(value)
    return +found


def _add(counters: MmapedDict, name: str, labels: Mapping[str, str], number: int) -> None:
    keys = (json.loads(key) for key, _, _ in counters.read_all_values())  # type: ignore[no-untyped-call]
    meaning = next((meaning for known, _, _, meaning in keys if known == name), "")
    key = mmap_key(name, name + TOTAL, list(labels), list(labels.values()), meaning)
    value, _ = counters.read_value(key)  # type: ignore[no-untyped-call]
    counters.write_value(key, value + number, time.time())  # type: ignore[no-untyped-call]
