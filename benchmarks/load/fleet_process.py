"""A fleet in a process of its own: a line in asks for something, a line out is its answer, both JSON.

Locust runs on gevent, Overtone's client and link on asyncio, and the two do not mix in one process. So the
devices of a load test live here, and locust's users speak for them; see `benchmarks.load.remote_fleet`.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from overtone.benchmarks.load.fleet import Device
from overtone.benchmarks.load.ready import Parcel, prepare
from overtone.benchmarks.load.talk import PATIENCE, Wish
from overtone.benchmarks.load.upload import Rival
from overtone.benchmarks.pictures import gather
from overtone.edge_client import AsyncClient, OvertoneError

OURS = ""
MAX_LINE = 1 << 20


@dataclass
class Seat:
    """A device, and the pictures asked of it."""

    task: asyncio.Task[None]
    inbox: asyncio.Queue[asyncio.Future[Any] | None]


class FleetProcess:
    """What the process does, by name."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._parcels: dict[str, list[Parcel]] = {}
        self._seats: dict[int, Seat] = {}

    async def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to a message; an expected failure is one too."""
        actions: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
            "prepare": self.prepare,
            "join": self.join,
            "send": self.send,
            "leave": self.leave,
            "busy": self.busy,
        }
        number, action = message.pop("id"), actions[message.pop("do")]
        try:
            return {"id": number, "said": await action(**message)}
        except (OvertoneError, ValueError, OSError) as error:
            return {"id": number, "error": str(error)}

    async def prepare(
        self, host: str, token: str, pictures: str, count: int, quality: int, sets: list[str]
    ) -> str:
        """Ask the server for its profile and encode the pictures; each set is ours ("") or a rival's name."""
        # Fetched without a link, kept for all devices: they have been here before.
        async with AsyncClient(host, token=token or None, cache=self._cache, timeout=PATIENCE) as client:
            profile, card = client.profile, await client.card()
        if quality and quality not in profile.qualities:
            raise ValueError(f"no quality {quality}: {profile.name} has {list(profile.qualities)}")
        gallery = await asyncio.to_thread(gather, Path(pictures) if pictures else None, count)
        for name in sets:
            self._parcels[name] = await asyncio.to_thread(
                prepare,
                profile,
                card["classes"],
                gallery.paths,
                quality=quality or None,
                rival=Rival.parse(name) if name else None,
            )
        note = f"; {gallery.note}" if gallery.note else ""
        return f"{len(gallery.paths)} pictures from {gallery.origin}{note}"

    async def join(self, device: int, target: str, link: str, pictures: str, **wish: Any) -> None:
        """Connect a device; `wish` as of `benchmarks.load.talk.Wish`, `pictures` the set it sends."""
        wished = Wish(**wish, rival=Rival.parse(pictures) if pictures else None, cache=self._cache)
        inbox: asyncio.Queue[asyncio.Future[Any] | None] = asyncio.Queue()
        ready = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._live(wished, target, link, self._parcels[pictures], inbox, ready))
        self._seats[device] = Seat(task, inbox)
        await ready

    async def send(self, device: int) -> dict[str, Any]:
        """One picture, drawn at random; what became of it."""
        future = asyncio.get_running_loop().create_future()
        self._seats[device].inbox.put_nowait(future)
        return asdict(await future)

    async def leave(self, device: int) -> None:
        """Hang up."""
        seat = self._seats.pop(device, None)
        if seat is not None:
            seat.inbox.put_nowait(None)
            await asyncio.wait([seat.task])

    async def busy(self) -> float:
        """CPU seconds so far."""
        return time.process_time()

    async def close(self) -> None:
        """Hang up all."""
        await asyncio.gather(*(self.leave(device) for device in list(self._seats)))

    async def _live(
        self,
        wish: Wish,
        target: str,
        link: str,
        parcels: list[Parcel],
        inbox: asyncio.Queue[asyncio.Future[Any] | None],
        ready: asyncio.Future[None],
    ) -> None:
        try:
            async with Device.connected(wish, target, link) as device:
                ready.set_result(None)
                while (asked := await inbox.get()) is not None:
                    try:
                        asked.set_result(await device.send(random.choice(parcels)))
                    except OvertoneError as error:
                        asked.set_exception(error)
        except (OvertoneError, ValueError, OSError) as error:
            if not ready.done():
                ready.set_exception(error)


async def serve(process: FleetProcess) -> None:
    """Answer until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(MAX_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    answering: set[asyncio.Task[None]] = set()

    async def respond(message: dict[str, Any]) -> None:
        print(json.dumps(await process.answer(message)), flush=True)

    while line := await reader.readline():
        task = asyncio.create_task(respond(json.loads(line)))
        answering.add(task)
        task.add_done_callback(answering.discard)
    await process.close()


def main() -> None:
    """Serve, with a folder for profiles that is gone afterwards."""
    with TemporaryDirectory(prefix="overtone-") as folder:
        asyncio.run(serve(FleetProcess(Path(folder))))


if __name__ == "__main__":
    main()
