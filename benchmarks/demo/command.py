"""The whole path on one machine: server, thin link and device, each real, and what every picture costs."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import httpx
from rich.console import Console

from overtone.benchmarks.child import Child, ChildError
from overtone.benchmarks.demo.scoreboard import Scoreboard
from overtone.benchmarks.demo.summary import Setting, Summary, show
from overtone.benchmarks.link.link import Link
from overtone.benchmarks.link.rate import MTU_PAYLOAD, Rate, parse_duration
from overtone.benchmarks.pictures import Gallery, gather
from overtone.edge_client import Policy
from overtone.edge_client.image_files import class_names, jpeg_bytes, truth
from overtone.edge_client.output import Row, document
from overtone.frequency import Profile

Transport = Literal["grpc", "rest"]

COUNT = 50
# Loading torch from a cold disk is slow, and so is warming the network up on two busy cores.
START_SECONDS = 180.0
PICTURE_SECONDS = 60.0
# Of a table that goes to a file or a pipe, which has no width of its own.
PLAIN_WIDTH = 110
# The demo's server must not take over what is meant for somebody's own.
OURS = {
    "OVERTONE_PAUSE": "0",
    "OVERTONE_TOKENS": None,
    "OVERTONE_TLS_CERTIFICATE": None,
    "OVERTONE_TLS_KEY": None,
}
READY = re.compile(r"overtone serving (?P<model>.+): grpc (?P<grpc>\S+), http (?P<rest>\S+)")


@dataclass(frozen=True)
class Options:
    """What may be chosen about a demo."""

    model: str = "imagenette"
    rate: str = "1mbit"
    rtt: str = "50ms"
    policy: Policy = "on_demand"
    quality: int | None = None
    operating_point: str = ""
    transport: Transport = "grpc"


@dataclass(frozen=True)
class Served:
    """A server that is ready, and what it serves."""

    addresses: dict[str, str]
    name: str
    profile: Profile
    labels: dict[str, str]


def run(
    images: Path | None = None, *, count: int = COUNT, as_json: bool = False, options: Options | None = None
) -> int:
    """The command `overtone demo`.

    Args:
        images: a folder, one sub-folder a class where answers are to be judged; None: see `pictures.gather`.
        count: at most so many pictures.
        as_json: print one JSON object when all are done, and nothing else.
        options: model, link and policy.

    Returns:
        The exit code: zero if every picture has been answered.

    Raises:
        ValueError: options or pictures that cannot be used.
        ChildError: the server or the device could not start, or ended.
        KeyboardInterrupt: also for SIGTERM and SIGHUP, once the server has been stopped.
    """
    chosen = options or Options()
    if count < 1:
        raise ValueError(f"the demo needs at least one picture, not {count}")
    _check(chosen)
    gallery = gather(images, count)
    console = Console(stderr=as_json)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    console.quiet = as_json
    try:
        rows, summary = asyncio.run(_Demo(chosen, gallery, console).run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    if as_json:
        print(json.dumps(document(rows) | {"summary": asdict(summary)}, ensure_ascii=False))
    else:
        show(console, summary)
    return 1 if summary.failed else 0


def _check(options: Options) -> None:
    """Find now what server or device would refuse."""
    Rate.parse(options.rate)
    parse_duration(options.rtt)
    for what, given, known in (
        ("policy", options.policy, get_args(Policy)),
        ("transport", options.transport, get_args(Transport)),
    ):
        if given not in known:
            raise ValueError(f"no {what} {given!r}: choose from {', '.join(known)}")
    if options.model != Options.model and not Path(options.model).is_file():
        # Imported only to name those there are: torch comes with it.
        from overtone.models import find

        find(options.model)


class _Demo:
    def __init__(self, options: Options, gallery: Gallery, console: Console) -> None:
        self._options = options
        self._gallery = gallery
        self._console = console
        self._rows: list[Row] = []
        self._failed = 0

    async def run(self) -> tuple[list[Row], Summary]:
        stop_on_signals()
        options = self._options
        async with AsyncExitStack() as stack:
            with self._console.status(f"starting a server with {options.model} ..."):
                served = await stack.enter_async_context(serving(options.model))
            link = await stack.enter_async_context(
                Link(served.addresses[options.transport], up=options.rate, down=options.rate, rtt=options.rtt)
            )
            with self._console.status("connecting a device ..."):
                device = await stack.enter_async_context(_device(link, options))
            setup = await _settled(link)
            setting = self._setting(served, link)
            self._introduce(setting)
            await self._send_all(device, link, served)
        if not self._rows:
            raise ChildError("no picture has been answered")
        return self._rows, Summary.of(setting, self._rows, setup, self._failed)

    def _setting(self, served: Served, link: Link) -> Setting:
        return Setting(
            model=served.name,
            size=served.profile.size,
            origin=self._gallery.origin,
            note=self._gallery.note,
            transport=self._options.transport,
            policy=self._options.policy,
            rate=link.up,
            rtt=link.rtt,
        )

    def _introduce(self, setting: Setting) -> None:
        self._console.print(
            f"{len(self._gallery.paths)} pictures from {setting.origin}; {setting.model} at {setting.size} "
            f"pixels; {setting.transport} over {setting.rate} and {1e3 * setting.rtt:g} ms",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        if setting.note:
            self._console.print(f"Note: {setting.note}.", style="yellow", highlight=False, markup=False)
        self._console.print()

    async def _send_all(self, device: Child, link: Link, served: Served) -> None:
        """One at a time, so that what crosses the link belongs to one picture."""
        with Scoreboard(self._console, len(self._gallery.paths)) as board:
            for path in self._gallery.paths:
                before = link.total.up, link.total.down
                await device.tell(str(path))
                heard = json.loads(await device.line(2 * PICTURE_SECONDS))
                after = await _settled(link)
                if "error" in heard:
                    self._failed += 1
                    self._complain(f"{path}: {heard['error']}")
                    continue
                spent = after[0] - before[0], after[1] - before[1]
                self._rows.append(await asyncio.to_thread(_row, path, heard, spent, served))
                board.add(self._rows[-1])

    def _complain(self, message: str) -> None:
        Console(stderr=True).print(message, style="red", highlight=False, markup=False, soft_wrap=True)


@asynccontextmanager
async def serving(model: str, *arguments: str) -> AsyncIterator[Served]:
    """A server process on free ports of this machine, ready when entered, stopped when left.

    Args:
        model: name or path of its checkpoint.
        arguments: more of `overtone serve`.

    Raises:
        ChildError: it did not start; with what it said.
    """
    ports = ("--host", "127.0.0.1", "--grpc-port", "0", "--http-port", "0")
    command = (sys.executable, "-m", "overtone", "serve", "--model", model, *ports, *arguments)
    async with Child.running("the server", *command, environment=OURS) as server:
        line = await server.line(START_SECONDS)
        ready = READY.fullmatch(line)
        if ready is None:
            raise ChildError(f"the server said {line!r} instead of where it listens")
        addresses = {"grpc": ready["grpc"], "rest": ready["rest"]}
        async with httpx.AsyncClient(trust_env=False) as http:
            card = (await http.get(f"http://{ready['rest']}/v1/model")).raise_for_status().json()
        profile = Profile.from_json(card["profile"])
        yield Served(addresses, ready["model"], profile, class_names(profile.labels, card["classes"]))


@asynccontextmanager
async def _device(link: Link, options: Options) -> AsyncIterator[Child]:
    """A device process that has its session, on the far side of the link."""
    scheme = {"grpc": "grpc", "rest": "http"}[options.transport]
    command = [sys.executable, "-m", "overtone.benchmarks.demo.device", f"{scheme}://{link.address}"]
    command += ["--policy", options.policy, "--timeout", str(PICTURE_SECONDS)]
    command += ["--operating-point", options.operating_point] if options.operating_point else []
    command += ["--quality", str(options.quality)] if options.quality is not None else []
    async with Child.running("the device", *command, grace=5.0) as device:
        await device.line(PICTURE_SECONDS + 30.0)
        yield device


async def _settled(link: Link) -> tuple[int, int]:
    """Bytes up and down so far, once what was still on its way has arrived."""
    calm = 0.02 + link.rtt / 2 + link.up.seconds(MTU_PAYLOAD)
    while True:
        before = link.total.up, link.total.down
        await asyncio.sleep(calm)
        if (link.total.up, link.total.down) == before:
            return before


def _row(path: Path, heard: dict[str, Any], link: tuple[int, int], served: Served) -> Row:
    return Row(
        path=str(path),
        truth=truth(path, served.labels),
        link_bytes_up=link[0],
        link_bytes_down=link[1],
        jpeg_bytes=jpeg_bytes(path, served.profile.size),
        **heard,
    )


def stop_on_signals() -> None:
    """What would end us without a word must stop the children too; Ctrl-C does so by itself."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
