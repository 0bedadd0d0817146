"""The command `overtone demo`: server, thin link and device, each real, and what every image costs."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from rich.console import Console

from overtone import command
from overtone.benchmarks.child import Child, ChildError, stop_on_signals
from overtone.benchmarks.demo.scoreboard import Scoreboard
from overtone.benchmarks.demo.summary import show, summarise
from overtone.benchmarks.images import ImageSet, gather
from overtone.benchmarks.server import Server, serving
from overtone.edge_client import Policy, Task
from overtone.edge_client.detect import write_drawn
from overtone.edge_client.image_files import jpeg_bytes, truth
from overtone.edge_client.output import DetectedRow, Line, Row
from overtone.edge_client.rest_answer import detection
from overtone.link import Link
from overtone.link.rate import MTU_PAYLOAD, Rate, parse_duration

Transport = Literal["grpc", "rest"]
SCHEMES: dict[Transport, str] = {"grpc": "grpc", "rest": "http"}

MODELS: dict[Task, str] = {"classify": "photographs", "detect": "voc2007"}

IMAGE_SECONDS = 60.0
MANY_CLASSES = 100


@dataclass(frozen=True)
class Options:
    """The options of a demo.

    Attributes:
        task: what is asked.
        model: a checkpoint for it; empty is the bundled one.
        out: where pictures are drawn with what a detector has found in them.
    """

    task: Task = "classify"
    model: str = ""
    out: Path = Path("runs/demo")
    rate: str = "1mbit"
    rtt: str = "50ms"
    policy: Policy = "on_demand"
    quality: int | None = None
    operating_point: str = ""
    transport: Transport = "grpc"

    @property
    def checkpoint(self) -> str:
        """The model that is served."""
        return self.model or MODELS[self.task]


def run(
    folder: Path | None = None, *, count: int = 50, as_json: bool = False, options: Options | None = None
) -> int:
    """Run a demo on at most `count` images (see `images.gather`), and print its rows and summary.

    Returns:
        The exit code: zero if every image has been answered.

    Raises:
        ValueError: options or images that cannot be used.
        ChildError: the server or the device could not start, or ended.
        KeyboardInterrupt: also for SIGTERM and SIGHUP, once the server has been stopped.
    """
    chosen = options or Options()
    if count < 1:
        raise ValueError(f"the demo needs at least one image, not {count}")
    _check(chosen)
    images = gather(folder, count)
    console = command.console(stderr=as_json, quiet=as_json)
    try:
        rows, summary = asyncio.run(_Demo(chosen, images, console).run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    if as_json:
        document = {"images": [asdict(row) for row in rows], "summary": summary}
        print(json.dumps(document, ensure_ascii=False))
    else:
        show(console, summary)
    return 1 if summary["failed"] else 0


def _check(options: Options) -> None:
    """Report mistakes before anything is started."""
    Rate.parse(options.rate)
    parse_duration(options.rtt)
    for what, given, known in (
        ("task", options.task, get_args(Task)),
        ("policy", options.policy, get_args(Policy)),
        ("transport", options.transport, get_args(Transport)),
    ):
        if given not in known:
            raise ValueError(f"no {what} {given!r}: choose from {', '.join(known)}")
    if options.checkpoint not in MODELS.values() and not Path(options.checkpoint).is_file():
        # Imported only to list the known names: torch comes with it.
        from overtone.models import find

        find(options.checkpoint)


class _Demo:
    def __init__(self, options: Options, images: ImageSet, console: Console) -> None:
        self._options = options
        self._images = images
        self._console = console
        self._rows: list[Line] = []
        self._failed = 0

    async def run(self) -> tuple[list[Line], dict[str, Any]]:
        stop_on_signals()
        options = self._options
        async with AsyncExitStack() as stack:
            with self._console.status(f"starting a server with {options.checkpoint} ..."):
                server = await stack.enter_async_context(serving(options.checkpoint))
            if server.task != options.task:
                raise ValueError(f"{server.name} is there to {server.task}: give --task {server.task}")
            link = await stack.enter_async_context(
                Link(server.addresses[options.transport], up=options.rate, down=options.rate, rtt=options.rtt)
            )
            with self._console.status("connecting a device ..."):
                device = await stack.enter_async_context(_device(link, options))
            calm = 0.02 + link.rtt / 2 + link.up.seconds(MTU_PAYLOAD)
            setup = await link.settled(calm)
            await device.tell("")
            await device.line(IMAGE_SECONDS)
            both = await link.settled(calm)
            tables = both[0] - setup[0], both[1] - setup[1]
            self._introduce(server, link)
            await self._send_all(device, link, server, calm)
        if not self._rows:
            raise ChildError("no image has been answered")
        about = {
            "model": server.name,
            "size": server.profile.size,
            "pictures": self._images.origin,
            "note": self._note(server),
            "transport": options.transport,
            "policy": options.policy,
            "task": options.task,
        }
        if options.task == "detect":
            about["drawn"] = str(options.out)
        return self._rows, summarise(self._rows, setup, tables, self._failed, link.up, link.rtt, about)

    def _introduce(self, server: Server, link: Link) -> None:
        text = (
            f"{len(self._images.paths)} images from {self._images.origin}; {server.name} at "
            f"{server.profile.size} pixels; {self._options.transport} over {link.up} and {1e3 * link.rtt:g} ms"
        )
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        if note := self._note(server):
            self._console.print(f"Note: {note}.", style="yellow", highlight=False, markup=False)
        self._console.print()

    def _note(self, server: Server) -> str:
        """The remark about the images; a model of many classes can name what is in any photograph, and a detector has
        something to say of any.
        """
        few = server.task == "classify" and len(server.profile.labels) < MANY_CLASSES
        return self._images.note if few else ""

    async def _send_all(self, device: Child, link: Link, server: Server, calm: float) -> None:
        """One image at a time, so that what crosses the link belongs to one image."""
        with Scoreboard(self._console, len(self._images.paths)) as board:
            for path in self._images.paths:
                before = link.total.up, link.total.down
                await device.tell(str(path))
                reply = json.loads(await device.line(2 * IMAGE_SECONDS))
                after = await link.settled(calm)
                if "error" in reply:
                    self._failed += 1
                    command.complain(f"{path}: {reply['error']}")
                    continue
                spent = after[0] - before[0], after[1] - before[1]
                make = _row if self._options.task == "classify" else self._drawn_row
                self._rows.append(await asyncio.to_thread(make, path, reply, spent, server))
                board.add(self._rows[-1])

    def _drawn_row(self, path: Path, reply: dict[str, Any], spent: tuple[int, int], server: Server) -> Line:
        """The row of a picture, whose things have been drawn."""
        place = self._options.out / f"{len(self._rows) + 1:03}-{path.stem}.png"
        write_drawn(path, [detection(found) for found in reply["detections"]], place)
        return DetectedRow(
            path=str(path),
            link_bytes_up=spent[0],
            link_bytes_down=spent[1],
            jpeg_bytes=jpeg_bytes(path, server.profile.size, "detect"),
            drawn=str(place),
            **reply,
        )


@asynccontextmanager
async def _device(link: Link, options: Options) -> AsyncIterator[Child]:
    """A device process with an open session, on the far side of the link."""
    address = f"{SCHEMES[options.transport]}://{link.address}"
    command = [sys.executable, "-m", "overtone.benchmarks.demo.device", address]
    command += ["--policy", options.policy, "--timeout", str(IMAGE_SECONDS), "--task", options.task]
    command += ["--operating-point", options.operating_point] if options.operating_point else []
    command += ["--quality", str(options.quality)] if options.quality is not None else []
    async with Child.running("the device", *command, grace=5.0) as device:
        await device.line(IMAGE_SECONDS + 30.0)
        yield device


def _row(path: Path, reply: dict[str, Any], spent: tuple[int, int], server: Server) -> Line:
    return Row(
        path=str(path),
        truth=truth(path, server.labels),
        link_bytes_up=spent[0],
        link_bytes_down=spent[1],
        jpeg_bytes=jpeg_bytes(path, server.profile.size),
        **reply,
    )
