"""`overtone bench faults`: a real server is attacked in every way that `attacks` knows, while others use it."""

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import httpx
from rich.console import Console
from rich.table import Table

from overtone.benchmarks.child import Child, stop_on_signals
from overtone.benchmarks.faults import attacks
from overtone.benchmarks.faults.honest import TRANSPORTS, Times, measure
from overtone.benchmarks.figure import Figure
from overtone.benchmarks.process_tree import resident_bytes
from overtone.benchmarks.server import START_SECONDS, started
from overtone.edge_client import AsyncClient, OvertoneError

# An attacked server answers an honest client's slowest images within so many times what they take otherwise.
MOST_SLOWDOWN = 3.0
# MiB that the server may take more after an attack than before.
MOST_GROWTH = 256.0
# Seconds between the beginning of an attack and the measurement.
RAMP = 3.0
OPEN_FILES = 1024
MIB = 1 << 20
LIMITED = re.compile(r"^(overtone_limited_total|overtone_shed_total)\{.*\} (?P<value>\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """The outcome of an attack: the honest client's times before and during it, and the server's state."""

    name: str
    quiet: Times
    attacked: Times
    refused: float
    growth: float
    survived: bool
    counted: dict[str, int]

    def figures(self) -> list[Figure]:
        """The outcome as numbers with their bounds."""
        found = []
        for transport in TRANSPORTS:
            name = f"{self.name}.{transport}"
            for q in (50, 99):
                found.append(Figure(f"{name}.quiet_p{q}", self.quiet.percentile(transport, q), "ms"))
                found.append(Figure(f"{name}.attacked_p{q}", self.attacked.percentile(transport, q), "ms"))
            found.append(Figure(f"{name}.p99_ratio", self.ratio(transport), "times", MOST_SLOWDOWN))
        return [
            *found,
            Figure(f"{self.name}.honest_failed", self.attacked.failed, "images", 0),
            Figure(f"{self.name}.refused", self.refused, "requests"),
            Figure(f"{self.name}.memory_growth", self.growth, "MiB", MOST_GROWTH),
            Figure(f"{self.name}.died", float(not self.survived), "servers", 0),
        ]

    def ratio(self, transport: str) -> float:
        """The slowest images' time during the attack, over that before."""
        return self.attacked.percentile(transport, 99) / self.quiet.percentile(transport, 99)


def run(model: str, chosen: Sequence[str], seconds: float, as_json: bool) -> int:
    """Attack, print what came of it, and return 1 if a bound was not kept.

    Raises:
        ValueError: no such attack.
        ChildError: the server did not start.
    """
    names = tuple(chosen) or tuple(attacks.ATTACKS)
    for name in names:
        if name not in attacks.ATTACKS:
            raise ValueError(f"no attack {name!r}; there are {', '.join(attacks.ATTACKS)}")
    outcomes = asyncio.run(_attack_all(model, names, seconds))
    figures = [figure for outcome in outcomes for figure in outcome.figures()]
    if as_json:
        print(json.dumps([asdict(figure) for figure in figures]))
    else:
        _print(outcomes)
    return 0 if all(figure.good for figure in figures) else 1


async def _attack_all(model: str, names: Sequence[str], seconds: float) -> list[Outcome]:
    stop_on_signals()
    return [await _attack_one(model, name, seconds) for name in names]


async def _attack_one(model: str, name: str, seconds: float) -> Outcome:
    """One attack on a server of its own, which has as few open files as many systems give."""
    limited = ("sh", "-c", f'ulimit -n {OPEN_FILES}; exec "$@"', "sh")
    async with started(model, before=limited) as (server, addresses):
        await measure(addresses, 2.0)  # the first images take longer
        quiet = await measure(addresses, seconds)
        before, refused = resident_bytes(server.pid), await _refused(addresses)
        attacked, counted = await _during(name, addresses, seconds)
        return Outcome(
            name,
            quiet,
            attacked,
            await _refused(addresses) - refused,
            (resident_bytes(server.pid) - before) / MIB,
            await _answers(addresses),
            counted,
        )


async def _during(name: str, addresses: dict[str, str], seconds: float) -> tuple[Times, dict[str, int]]:
    """Measure the honest client while the attack runs, from another address of this machine."""
    host, _, grpc_port = addresses["grpc"].rpartition(":")
    http_port = addresses["rest"].rpartition(":")[2]
    arguments = (name, "127.0.0.2", host, grpc_port, http_port, f"{seconds + RAMP + 30:g}")
    command = (sys.executable, "-m", attacks.__name__, *arguments)
    async with Child.running("the attack", *command, grace=1.0) as attack:
        assert await attack.line(START_SECONDS) == "begun"
        await asyncio.sleep(RAMP)
        times = await measure(addresses, seconds)
        await attack.tell("stop")
        counted = json.loads(await attack.line(60.0))
    return times, counted


async def _answers(addresses: dict[str, str]) -> bool:
    """Whether the server serves as before, over both transports."""
    try:
        for transport, scheme in TRANSPORTS.items():
            async with AsyncClient(f"{scheme}://{addresses[transport]}") as client:
                await client.card()
    except OvertoneError:
        return False
    return True


async def _refused(addresses: dict[str, str]) -> float:
    """Counters of the server: what it has refused or cut so far."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        reply = await http.get(f"http://{addresses['rest']}/metrics")
    return sum(float(found["value"]) for found in LIMITED.finditer(reply.text))


def _print(outcomes: Sequence[Outcome]) -> None:
    table = Table(
        "attack", "over", "p50", "under attack", "p99", "under attack", "ratio", "failed", "refused"
    )
    table.add_column("memory")
    table.add_column("survived")
    for outcome in outcomes:
        for transport in TRANSPORTS:
            quiet, attacked = outcome.quiet, outcome.attacked
            times = [f"{t.percentile(transport, q):.0f} ms" for q in (50, 99) for t in (quiet, attacked)]
            state = ("", "", "", "")
            if transport == "grpc":
                state = (
                    str(attacked.failed),
                    f"{outcome.refused:.0f}",
                    f"{outcome.growth:+.0f} MiB",
                    "yes" if outcome.survived else "NO",
                )
            name = outcome.name if transport == "grpc" else ""
            table.add_row(name, transport, *times, f"{outcome.ratio(transport):.2f}", *state)
    console = Console()
    console.print(table)
    for outcome in outcomes:
        counted = ", ".join(f"{key}: {value}" for key, value in sorted(outcome.counted.items()))
        console.print(f"{outcome.name}: {counted}", highlight=False)
