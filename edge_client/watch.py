"""`overtone watch`: send the images of a folder or a camera as they come, and print the answers."""

import asyncio
from pathlib import Path

from overtone.command import complain
from overtone.edge_client.client import AsyncClient
from overtone.edge_client.errors import OvertoneError, UsageError
from overtone.edge_client.notes import Notes
from overtone.edge_client.output import Event
from overtone.edge_client.task import Task
from overtone.edge_client.watcher import ImageSource, Watcher

# How many files and pictures may wait. A picture takes megabytes of memory, and is of no use when it is old.
FILES = 1000
PICTURES = 4
# Seconds between two pictures of a camera.
EVERY = 1.0


def watch_for_ever(
    client: AsyncClient,
    what: str,
    *,
    every: float | None = None,
    existing: bool = False,
    capacity: int | None = None,
    as_json: bool = False,
    quiet: bool = False,
    task: Task = "classify",
    least: float = 0.0,
) -> int:
    """Send images as they come and print the answers, until SIGINT or SIGTERM.

    Args:
        client: not opened yet.
        what: a folder, or the device file or address of a camera.
        every: the seconds between two pictures of a camera.
        existing: whether the images that are in the folder already are sent too.
        capacity: how many images may wait.
        as_json: print each answer as a JSON object on a line.
        quiet: print nothing but answers and errors.
        task: of the server's model.
        least: the probability from which an object of a detector's answer is printed.

    Returns:
        The exit code: zero if it was stopped.

    Raises:
        UsageError: there is nothing that can be watched.
    """
    notes = Notes(quiet)
    source = _source(what, every, existing, notes)

    def show(event: Event) -> None:
        print(event.to_json() if as_json else event, flush=True)

    return asyncio.run(
        _watch(Watcher(client, source, capacity or _capacity(what), notes, show, task, least), notes)
    )


async def _watch(watcher: Watcher, notes: Notes) -> int:
    try:
        await watcher.run()
    except OvertoneError as error:  # at the start, so there is nothing to sum up
        complain(str(error))
        return 1
    except BaseException:
        notes.say(str(watcher.tally))
        raise
    notes.say(str(watcher.tally))
    return 0


def _source(what: str, every: float | None, existing: bool, notes: Notes) -> ImageSource:
    from overtone.edge_client.camera import Camera, is_camera

    if is_camera(what):
        if existing:
            raise UsageError("--existing is for folders; a camera has no pictures yet")
        return Camera(what, EVERY if every is None else every, notes)
    if not Path(what).is_dir():
        problem = "neither a folder nor a camera" if Path(what).exists() else "no such folder or camera"
        raise UsageError(
            f"{what}: {problem}; give a folder, /dev/video0, or an address with rtsp:// or http://"
        )
    if every is not None:
        raise UsageError("--every is for cameras; the images of a folder are sent as they come")
    from overtone.edge_client.folder import Folder

    return Folder(Path(what), existing, notes)


def _capacity(what: str) -> int:
    return FILES if Path(what).is_dir() else PICTURES
