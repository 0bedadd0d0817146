"""The server under test: one that runs already, or a process started on this machine."""

import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from overtone.benchmarks.child import Child, ChildError
from overtone.edge_client import AsyncClient
from overtone.edge_client.image_files import class_names
from overtone.edge_client.task import Task, known_task
from overtone.frequency import Profile

# Loading torch from a cold disk is slow, and so is warming up the network on two busy cores.
START_SECONDS = 180.0
CONNECT_SECONDS = 60.0
# Settings meant for the user's own server must not apply to this one.
ENVIRONMENT = {
    "OVERTONE_PAUSE": "0",
    "OVERTONE_TOKENS": None,
    "OVERTONE_TLS_CERTIFICATE": None,
    "OVERTONE_TLS_KEY": None,
}
READY = re.compile(r"overtone serving .+: grpc (?P<grpc>\S+), http (?P<rest>\S+)")


@dataclass(frozen=True)
class Server:
    """A server that is ready: "host:port" by transport (`grpc`, `rest`), and what it serves.

    `labels` are the model's labels by the folder names of its classes, see `edge_client.image_files.class_names`;
    `task` is what it does.
    """

    addresses: dict[str, str]
    name: str
    profile: Profile
    labels: dict[str, str]
    task: Task = "classify"


@asynccontextmanager
async def started(
    model: str,
    *arguments: str,
    before: Sequence[str] = (),
    environment: Mapping[str, str | None] = ENVIRONMENT,
    within: float = START_SECONDS,
) -> AsyncIterator[tuple[Child, dict[str, str]]]:
    """`overtone serve` with these arguments on free ports of this machine: its process, and "host:port" by transport.

    `before` is what the command line begins with, such as a program that sets limits. It has `within` seconds to start.

    Raises:
        ChildError: it did not start; the message has its standard error.
    """
    ports = ("--host", "127.0.0.1", "--grpc-port", "0", "--http-port", "0")
    command = (*before, sys.executable, "-m", "overtone", "serve", "--model", model, *ports, *arguments)
    async with Child.running("the server", *command, environment=environment) as process:
        line = await process.line(within)
        ready = READY.fullmatch(line)
        if ready is None:
            raise ChildError(f"the server printed {line!r} instead of its addresses")
        yield process, ready.groupdict()


@asynccontextmanager
async def serving(model: str, *arguments: str, cache: Path | None = None) -> AsyncIterator[Server]:
    """Start `overtone serve` with these arguments on free ports of this machine, and stop it on leaving.

    `cache` is a folder in which to keep its profile for later clients.

    Raises:
        ChildError: it did not start; the message has its standard error.
    """
    async with started(model, *arguments) as (_, addresses):
        yield await inspect(addresses, cache=cache)


async def inspect(addresses: dict[str, str], token: str | None = None, cache: Path | None = None) -> Server:
    """Ask a running server what it serves; its profile is then in the folder `cache`, for later clients.

    Raises:
        OvertoneError: it did not answer.
    """
    address = f"grpc://{addresses['grpc']}"
    async with AsyncClient(address, token=token, cache=cache, timeout=CONNECT_SECONDS) as client:
        profile, known = await client.whole_profile(), await client.labels()
        task = known_task(str((await client.card()).get("task", "")))
    return Server(addresses, profile.name, profile, class_names(known.labels, known.folders), task)
