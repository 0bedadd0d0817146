"""`overtone bench soak`: a real server under mixed load, watched for growth and for counters that disagree."""

import asyncio
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from statistics import median

import psutil
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from overtone.benchmarks.child import ChildError, stop_on_signals
from overtone.benchmarks.figure import Figure
from overtone.benchmarks.images import gather
from overtone.benchmarks.process_tree import tree
from overtone.benchmarks.server import ENVIRONMENT, inspect, started
from overtone.benchmarks.soak.devices import DEVICES, PATIENCE, Target
from overtone.edge_client.encoding import encode_image

IMAGES = 24
# Seconds between two looks at the server, and between two lines about them.
EVERY, TOLD_EVERY = 2.0, 30.0
# A stage may be as late as an honest device is patient.
PATIENT = {**ENVIRONMENT, "OVERTONE_DEADLINE": f"{PATIENCE:g}"}
# What may be more at the end than when all caches were full.
MOST_MIB, MOST_FILES, MOST_THREADS = 64.0, 16.0, 4.0
# Docker kills what has not ended ten seconds after it was told to.
MOST_STOPPING = 10.0
# Until what is in flight when devices leave has ended.
SETTLE = 15.0
MIB = 1 << 20


@dataclass(frozen=True)
class Sample:
    """Memory, files and threads that a server and its processes hold."""

    mib: float
    files: float
    threads: float


def run(model: str, minutes: float, devices: int, as_json: bool) -> int:
    """Soak a server, print what came of it, and return 1 if a bound was not kept.

    Raises:
        ChildError: the server did not start, or ended.
        NoImagesError: there are no images to send.
    """
    console = Console(stderr=True)
    figures = asyncio.run(_soak(model, 60 * minutes, devices, console))
    if as_json:
        print(json.dumps([asdict(figure) for figure in figures]))
    else:
        _print(figures)
    return 0 if all(figure.good for figure in figures) else 1


async def _soak(model: str, seconds: float, devices: int, console: Console) -> list[Figure]:
    stop_on_signals()
    async with started(model, environment=PATIENT) as (child, addresses):
        target = await _target(addresses)
        samples = await _load(target, child.pid, seconds, devices, console)
        ended = await _settled(target)
        stopping = await _stopping(child.pid)
    for complaint, count in Counter(target.complaints).most_common(5):
        console.print(f"{count} times: {complaint}", style="red", highlight=False, markup=False)
    return [*_counted(target), *_growth(samples), *ended, Figure("stopping", stopping, "s", MOST_STOPPING)]


async def _target(addresses: dict[str, str]) -> Target:
    server = await inspect(addresses)
    files = (await asyncio.to_thread(gather, None, IMAGES)).paths
    images = [await asyncio.to_thread(encode_image, path, server.profile) for path in files]
    return Target(addresses, images, files)


async def _load(target: Target, pid: int, seconds: float, devices: int, console: Console) -> Sequence[Sample]:
    """Samples of the server while devices of all kinds use it."""
    running = [
        asyncio.ensure_future(DEVICES[number % len(DEVICES)](target, random.Random(number)))
        for number in range(devices)
    ]
    samples: list[Sample] = []
    began = told = time.monotonic()
    try:
        while (now := time.monotonic()) < began + seconds:
            samples.append(_sample(pid))
            if now - told >= TOLD_EVERY:
                told = now
                console.print(_line(target, samples[-1], now - began), highlight=False)
            done, _ = await asyncio.wait(running, timeout=EVERY, return_when=asyncio.FIRST_COMPLETED)
            for device in done:
                device.result()  # a device never ends by itself but by an error of this program
    finally:
        for device in running:
            device.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return samples


def _sample(pid: int) -> Sample:
    mib = files = threads = 0.0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess), process.oneshot():
            mib += process.memory_info().rss / MIB
            files += process.num_fds()
            threads += process.num_threads()
    if not threads:
        raise ChildError("the server has ended; its log says why")
    return Sample(mib, files, threads)


def _line(target: Target, sample: Sample, seconds: float) -> str:
    answered = sum(count for name, count in target.counted.items() if name.endswith(" answered"))
    return (
        f"{seconds / 60:.1f} min: {answered} answered, {target.counted['failed']} failed; "
        f"{sample.mib:.0f} MiB, {sample.files:.0f} files, {sample.threads:.0f} threads"
    )


def _counted(target: Target) -> list[Figure]:
    failed = target.counted["failed"]
    rest = [Figure(name, n, "images") for name, n in sorted(target.counted.items()) if name != "failed"]
    return [*rest, Figure("failed", failed, "images", 0)]


def _growth(samples: Sequence[Sample]) -> list[Figure]:
    """How much the median grows from the second quarter, by when caches and pools are full, to the last."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples[:1], samples[-quarter:]

    def grown(held: Callable[[Sample], float]) -> float:
        return median(map(held, late)) - median(map(held, early))

    return [
        Figure("memory", samples[-1].mib, "MiB"),
        Figure("memory_growth", grown(lambda sample: sample.mib), "MiB", MOST_MIB),
        Figure("files_growth", grown(lambda sample: sample.files), "files", MOST_FILES),
        Figure("threads_growth", grown(lambda sample: sample.threads), "threads", MOST_THREADS),
    ]


async def _settled(target: Target) -> list[Figure]:
    """The server's own counters, once nothing is in flight."""
    ends = time.monotonic() + SETTLE
    async with target.http() as http:
        while True:
            counters = _counters((await http.get("/metrics")).text)
            if not counters["in_flight"] or time.monotonic() > ends:
                break
            await asyncio.sleep(0.2)
    lost = abs(counters["arrived"] - counters["ended"] - counters["in_flight"])
    return [
        Figure("in_flight", counters["in_flight"], "arrivals", 0),
        Figure("not_accounted_for", lost, "arrivals", 0),
        Figure("server_failed", counters["failed"], "arrivals", 0),
    ]


def _counters(text: str) -> Counter[str]:
    names = {"overtone_arrived_total": "arrived", "overtone_ended_total": "ended"}
    names |= {"overtone_in_flight": "in_flight"}
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in names:
                found[names[sample.name]] += int(sample.value)
            if sample.name == "overtone_ended_total" and sample.labels["outcome"] == "failed":
                found["failed"] += int(sample.value)
    return found


async def _stopping(pid: int) -> float:
    """Seconds from SIGTERM until the server and its processes have ended."""
    processes = tree(pid)
    began = time.monotonic()
    processes[0].send_signal(signal.SIGTERM)
    await asyncio.to_thread(psutil.wait_procs, processes, 2 * MOST_STOPPING)
    return time.monotonic() - began


def _print(figures: Sequence[Figure]) -> None:
    table = Table("what", "value", "at most", "unit")
    for figure in figures:
        bound = "" if figure.bound is None else f"{figure.bound:g}"
        table.add_row(
            figure.name, f"{figure.value:.4g}", bound, figure.unit, style=None if figure.good else "red"
        )
    Console().print(table)
