"""How many devices can one link's process carry? Thousands of connections, each with a modem of its own.

    python -m overtone.benchmarks.link.crowd --connections 2000 --profile lte-m

Every device sends a message of the size of a picture's low band now and then and waits for a short answer.
The link is a process of its own, so that what it says of itself (how busy, how late) is of it alone. The
time that the profile alone would take stands beside what was measured: a link that is too busy shows as the
difference.
"""

import asyncio
import os
import random
import signal
import sys
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from overtone.benchmarks.child import Child, ChildError
from overtone.benchmarks.link.air import on_air
from overtone.benchmarks.link.profiles import LinkProfile, link_profile
from overtone.benchmarks.link.rate import UnitError
from overtone.benchmarks.link.sockets import make_room

MESSAGE, ANSWER = 1_200, 100
START_SECONDS = 30.0
# Devices come one after the other, not all at once: a server's backlog is a few thousand.
ARRIVALS_PER_SECOND = 500
ANSWER_SECONDS = 60.0


@dataclass
class Tally:
    """What the devices saw: seconds of each answer, and how many gave up."""

    seconds: list[float]
    failed: int = 0


def alone(profile: LinkProfile) -> float:
    """Seconds of a message and its answer over a link that carries nothing else."""
    return profile.rtt + profile.up.seconds(on_air(MESSAGE)) + profile.down.seconds(on_air(ANSWER))


async def crowd(connections: int, profile: LinkProfile, every: float, seconds: float) -> tuple[Tally, str]:
    """All devices over one link, for so many seconds once the last has come.

    Returns:
        What they saw, and the link's own last line.

    Raises:
        ChildError: the link did not start, or ended.
        OSError: too few files, of this process or the link's.
    """
    make_room(connections)
    tally = Tally([])
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, backlog=4096)
    to = "{}:{}".format(*server.sockets[0].getsockname())
    command = ["link", "--profile", profile.name, "--to", to, "--per-connection"]
    command += ["--connections", str(connections)]
    async with server, Child.running("the link", sys.executable, "-m", "overtone", *command) as link:
        first = await link.line(START_SECONDS)
        host, _, port = first.split()[2].rpartition(":")
        ends = asyncio.get_running_loop().time() + connections / ARRIVALS_PER_SECOND + seconds
        async with asyncio.TaskGroup() as devices:
            for number in range(connections):
                devices.create_task(_device(number, host, int(port), every, ends, tally))
        os.kill(link.pid, signal.SIGINT)
        return tally, await link.line(START_SECONDS)


async def _device(number: int, host: str, port: int, every: float, ends: float, tally: Tally) -> None:
    loop, rng = asyncio.get_running_loop(), random.Random(number)
    await asyncio.sleep(number / ARRIVALS_PER_SECOND)
    try:
        reader, writer = await asyncio.open_connection(host, port)
        await asyncio.sleep(rng.uniform(0, every))
        while (begun := loop.time()) < ends:
            writer.write(bytes(MESSAGE))
            await asyncio.wait_for(reader.readexactly(ANSWER), ANSWER_SECONDS)
            tally.seconds.append(loop.time() - begun)
            await asyncio.sleep(rng.uniform(0, 2 * every))
        writer.close()
    except (OSError, EOFError, TimeoutError):
        tally.failed += 1


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            await reader.readexactly(MESSAGE)
            writer.write(bytes(ANSWER))
    except (OSError, EOFError):
        writer.close()


def run(connections: int, profile: str, every: float, seconds: float) -> int:
    """Print what the devices saw and what the link says of itself.

    Returns:
        The exit code: zero if every message was answered.
    """
    console = Console(width=110, highlight=False)
    try:
        shape = link_profile(profile)
        with Console(stderr=True).status(f"{connections} devices over {shape.name} ..."):
            tally, said = asyncio.run(crowd(connections, shape, every, seconds))
        if not tally.seconds:
            raise ChildError("no message was answered")
    except (UnitError, OSError) as error:
        Console(stderr=True).print(f"crowd: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    p50, p95, p99 = (1e3 * float(p) for p in np.percentile(tally.seconds, (50, 95, 99)))
    console.print(f"{connections} devices, each its own {shape.name} ({shape}), {tally.failed} gave up")
    console.print(
        f"{len(tally.seconds):,} messages of {MESSAGE:,} bytes: p50 {p50:,.0f} ms, p95 {p95:,.0f} ms, "
        f"p99 {p99:,.0f} ms; {1e3 * alone(shape):,.0f} ms alone on the link"
    )
    console.print(f"link: {said}", markup=False)
    return 1 if tally.failed else 0


def main(
    connections: Annotated[int, typer.Option(min=1, help="Devices at once.")] = 2000,
    profile: Annotated[str, typer.Option(help="One of `overtone link --list`.")] = "lte-m",
    every: Annotated[float, typer.Option(min=0.0, help="Seconds between messages, on average.")] = 10.0,
    seconds: Annotated[float, typer.Option(min=0.0, help="How long, once all are there.")] = 30.0,
) -> None:
    """Thousands of devices over one link's process: how late, and how busy."""
    raise typer.Exit(run(connections, profile, every, seconds))


if __name__ == "__main__":
    typer.run(main)
