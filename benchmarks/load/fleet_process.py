"""A fleet in a process of its own: reads a request per line and writes its response as a line, both JSON.

Locust runs on gevent, Overtone's client and link on asyncio, and the two do not mix in one process. So the
devices of a load test live here, and locust's users control them; see `benchmarks.load.remote_fleet`.
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

from overtone.benchmarks.images import gather
from overtone.benchmarks.load.baseline import Baseline
from overtone.benchmarks.load.clients import TIMEOUT, DeviceConfig
from overtone.benchmarks.load.fleet import Device
from overtone.benchmarks.load.prepared import PreparedImage, prepare
from overtone.edge_client import AsyncClient, OvertoneError
from overtone.edge_client.image_files import class_names
from overtone.edge_client.task import Task, known_task

MAX_LINE = 1 << 20
Inbox = asyncio.Queue[asyncio.Future[Any] | None]


@dataclass
class RunningDevice:
    """A device's task, and the queue of images requested from it; None disconnects it."""

    task: asyncio.Task[None]
    inbox: Inbox


class FleetProcess:
    """The requests that the process answers, by name."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._images: dict[str, list[PreparedImage]] = {}
        self._task: Task = "classify"  # what the server's model does
        self._devices: dict[int, RunningDevice] = {}

    async def respond(self, request: dict[str, Any]) -> dict[str, Any]:
        """The response to a request; an expected failure is answered, too, as an error."""
        actions: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
            "prepare": self.prepare,
            "join": self.join,
            "send": self.send,
            "leave": self.leave,
            "cpu": self.cpu,
        }
        number, action = request.pop("id"), actions[request.pop("do")]
        try:
            return {"id": number, "result": await action(**request)}
        except (OvertoneError, ValueError, OSError) as error:
            return {"id": number, "error": str(error)}

    async def prepare(
        self, host: str, token: str, folder: str, count: int, quality: int, sets: list[str]
    ) -> str:
        """Fetch the server's profile and encode the images; a set is named "" or after a baseline."""
        # Fetched without a link and cached for all devices, as if they had connected before.
        async with AsyncClient(host, token=token or None, cache=self._cache, timeout=TIMEOUT) as client:
            profile, known = await client.whole_profile(), await client.labels()
            self._task = known_task(str((await client.card()).get("task", "")))
        if quality and quality not in profile.qualities:
            raise ValueError(f"no quality {quality}: {profile.name} has {list(profile.qualities)}")
        images = await asyncio.to_thread(gather, Path(folder) if folder else None, count)
        for name in sets:
            self._images[name] = await asyncio.to_thread(
                prepare,
                profile,
                class_names(known.labels, known.folders),
                images.paths,
                quality=quality or None,
                baseline=Baseline.parse(name) if name else None,
                task=self._task,
            )
        note = f"; {images.note}" if images.note else ""
        return f"{len(images.paths)} images from {images.origin}{note}"

    async def join(self, device: int, target: str, link: str, images: str, **config: Any) -> None:
        """Connect a device that sends the set `images`; `config` is for its `DeviceConfig`."""
        baseline = Baseline.parse(images) if images else None
        configured = DeviceConfig(**config, baseline=baseline, cache=self._cache, task=self._task)
        inbox: Inbox = asyncio.Queue()
        ready = asyncio.get_running_loop().create_future()
        run = self._run_device(configured, target, link, self._images[images], inbox, ready)
        self._devices[device] = RunningDevice(asyncio.create_task(run), inbox)
        await ready

    async def send(self, device: int) -> dict[str, Any]:
        """Send one image, drawn at random; its measurement."""
        future = asyncio.get_running_loop().create_future()
        self._devices[device].inbox.put_nowait(future)
        return asdict(await future)

    async def leave(self, device: int) -> None:
        """Disconnect a device."""
        running = self._devices.pop(device, None)
        if running is not None:
            running.inbox.put_nowait(None)
            await asyncio.wait([running.task])

    async def cpu(self) -> float:
        """CPU seconds used so far."""
        return time.process_time()

    async def close(self) -> None:
        """Disconnect all devices."""
        await asyncio.gather(*(self.leave(device) for device in list(self._devices)))

    async def _run_device(
        self,
        config: DeviceConfig,
        target: str,
        link: str,
        images: list[PreparedImage],
        inbox: Inbox,
        ready: asyncio.Future[None],
    ) -> None:
        try:
            async with Device.connected(config, target, link) as device:
                ready.set_result(None)
                while (request := await inbox.get()) is not None:
                    try:
                        request.set_result(await device.send(random.choice(images)))
                    except OvertoneError as error:
                        request.set_exception(error)
        except (OvertoneError, ValueError, OSError) as error:
            if not ready.done():
                ready.set_exception(error)


async def serve(process: FleetProcess) -> None:
    """Respond until the input ends."""
    reader = asyncio.StreamReader(MAX_LINE)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    responding: set[asyncio.Task[None]] = set()

    async def respond(request: dict[str, Any]) -> None:
        print(json.dumps(await process.respond(request)), flush=True)

    while line := await reader.readline():
        task = asyncio.create_task(respond(json.loads(line)))
        responding.add(task)
        task.add_done_callback(responding.discard)
    await process.close()


def main() -> None:
    """Serve, with a temporary folder for profiles."""
    with TemporaryDirectory(prefix="overtone-") as folder:
        asyncio.run(serve(FleetProcess(Path(folder))))


if __name__ == "__main__":
    main()
