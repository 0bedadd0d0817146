import asyncio
import os
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from overtone.benchmarks.figure import Figure
from overtone.benchmarks.server import Server
from overtone.benchmarks.soak import command
from overtone.benchmarks.soak.command import Sample
from overtone.benchmarks.soak.devices import Target
from tests.conftest import Photograph
from tests.waiting import until

TEXT = """# TYPE overtone_arrived counter
overtone_arrived_total{face="grpc",kind="image"} 7.0
overtone_arrived_total{face="rest",kind="call"} 3.0
# TYPE overtone_ended counter
overtone_ended_total{face="grpc",kind="image",code="OK",outcome="answered"} 6.0
overtone_ended_total{face="rest",kind="call",code="INTERNAL",outcome="failed"} 2.0
# TYPE overtone_in_flight gauge
overtone_in_flight{face="grpc",kind="image"} 1.0
"""

OUTCOMES = ("grpc answered", "http answered", "picture answered", "vanished", "garbage heard 400")


def test_counters_are_summed() -> None:
    assert command._counters(TEXT) == {"arrived": 10, "ended": 8, "in_flight": 1, "failed": 2}


def test_growth_is_that_after_the_first_quarter() -> None:
    filling = [Sample(100 + 50 * min(n, 10), 20, 9) for n in range(40)]
    grown = {figure.name: figure for figure in command._growth(filling)}
    assert grown["memory_growth"].value == 0
    assert all(figure.good for figure in grown.values())
    leaking = [Sample(100 + 5 * n, 20 + n, 9 + n / 4) for n in range(40)]
    assert {f.name for f in command._growth(leaking) if not f.good} == {
        "memory_growth",
        "files_growth",
        "threads_growth",
    }


def test_a_process_is_watched() -> None:
    sample = command._sample(os.getpid())
    assert sample.mib > 1
    assert min(sample.files, sample.threads) >= 1


def test_devices_of_all_kinds_at_a_real_server(
    server: Server, photograph: Photograph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(photograph).save(tmp_path / "one.jpg")
    monkeypatch.setenv("OVERTONE_DATA", str(tmp_path))
    monkeypatch.setattr(command, "EVERY", 0.3)

    async def soak() -> tuple[Target, list[Figure]]:
        target = await command._target(server.addresses)
        # Any process can be watched.
        load = asyncio.create_task(command._load(target, os.getpid(), 600, 10, Console(stderr=True)))
        await until(lambda: load.done() or all(target.counted[what] for what in OUTCOMES))
        load.cancel()
        await asyncio.wait([load])
        return target, await command._settled(target)

    target, ended = asyncio.run(soak())
    assert all(target.counted[what] for what in OUTCOMES)
    assert [(figure.name, figure.value) for figure in ended] == [
        ("in_flight", 0),
        ("not_accounted_for", 0),
        ("server_failed", 0),
    ]
