"""The new images of a folder, for `overtone watch`."""

import asyncio
import contextlib
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path

import watchfiles

from overtone.edge_client.image_files import find, is_image
from overtone.edge_client.image_queue import ImageQueue
from overtone.edge_client.notes import Notes
from overtone.edge_client.settling import Settling

# Milliseconds between two looks at files that are being written.
TICK = 250
# Seconds between two looks for a folder that was taken away.
ABSENCE = 1.0


class Folder:
    """Complete images that appear below a folder, or are written anew there.

    Args:
        path: the folder's.
        existing: whether images that are in the folder at the start count too.
        notes: print when the folder goes and comes.
    """

    def __init__(self, path: Path, existing: bool, notes: Notes) -> None:
        self._path = path.absolute()  # as the names of what changes are
        self._existing = existing
        self._notes = notes

    async def feed(self, queue: ImageQueue) -> None:
        """Put images into the queue for ever, also when the folder is taken away and comes back."""
        existing = self._existing
        while True:
            with contextlib.suppress(FileNotFoundError):
                await self._follow(queue, existing)
            self._notes.say(f"{self._path} is gone; waiting for it")
            while not self._path.is_dir():
                await asyncio.sleep(ABSENCE)
            existing = True  # all that is there now has come since

    async def _follow(self, queue: ImageQueue, existing: bool) -> None:
        """Put images into the queue as long as the folder is the same."""
        settling, identity = Settling(), _identity(self._path)
        scan: asyncio.Task[None] | None = None
        watcher = watchfiles.awatch(
            self._path,
            watch_filter=None,
            rust_timeout=TICK,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        try:
            async with aclosing(watcher):
                async for changes in watcher:
                    if scan is None:  # from now on nothing is missed
                        self._notes.say(f"watching {self._path}")
                        scan = asyncio.create_task(self._scan(queue, existing))
                    # Another folder in its place may even have its inode, but nothing would be told of it.
                    if (watchfiles.Change.deleted, str(self._path)) in changes:
                        return
                    changed = [Path(name) for kind, name in changes if kind != watchfiles.Change.deleted]
                    images = await asyncio.to_thread(self._images, changed)
                    for path in await asyncio.to_thread(settling.complete, images):
                        queue.put(str(path), path)
                    if _identity(self._path) != identity:
                        return
        finally:
            if scan is not None:
                scan.cancel()

    async def _scan(self, queue: ImageQueue, existing: bool) -> None:
        """Put what is there already into the queue, as there is room for it."""
        if existing:
            for path in await asyncio.to_thread(self._images, [self._path]):
                await queue.room()
                queue.put(str(path), path)

    def _images(self, paths: Iterable[Path]) -> list[Path]:
        """The images among these, and those below the folders among these, which may have come as a whole."""
        found: list[Path] = []
        for path in paths:
            with contextlib.suppress(OSError):
                found += (each for each in find([path]) if is_image(each, self._path))
        return found


def _identity(path: Path) -> tuple[int, int] | None:
    """The device and the inode of a folder, which another folder of the same name does not share; None without one."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
