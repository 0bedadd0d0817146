"""The command `overtone bench sweep`: measure what a plan says, continue where it stopped, and report."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from overtone.benchmarks.child import stop_on_signals
from overtone.benchmarks.images import ImageSet, gather
from overtone.benchmarks.load.baseline import Baseline
from overtone.benchmarks.load.clients import DeviceConfig
from overtone.benchmarks.load.fleet import FleetConfig, FleetResult, run_fleet
from overtone.benchmarks.load.prepared import PreparedImage, prepare
from overtone.benchmarks.load.stream import StreamConfig, run_stream
from overtone.benchmarks.machine import about_machine
from overtone.benchmarks.server import Server, inspect, serving
from overtone.benchmarks.sweep import report
from overtone.benchmarks.sweep.iso_accuracy import IsoAccuracy, log_of, logged
from overtone.benchmarks.sweep.plan import Plan, Point, Run, read
from overtone.benchmarks.sweep.results import ABOUT, TIMELINE, Result, ResultFile
from overtone.benchmarks.sweep.timeline import trace
from overtone.edge_client import OvertoneError

RESULTS = "results.jsonl"
CONTINUE = "the same command continues where it stopped"


class SweepError(ConnectionError):
    """A server that cannot be used; the message says why."""


@dataclass(frozen=True)
class RunningServer:
    """The address of a server that runs already."""

    host: str
    grpc_port: int = 50051
    http_port: int = 8080
    token: str | None = None

    @property
    def addresses(self) -> dict[str, str]:
        """Each as "host:port", by transport."""
        return {"grpc": f"{self.host}:{self.grpc_port}", "rest": f"{self.host}:{self.http_port}"}


def run(name: str, data: Path | None, out: Path, running: RunningServer | None = None) -> int:
    """Measure what a plan says, unless its result is in the folder `out` already, and write the report there.

    Returns:
        The exit code: zero if every image of the sweep has been answered.

    Raises:
        ValueError: a plan, images or results that cannot be used.
        SweepError: the server cannot be used, or has gone.
        ChildError: the server could not start.
        KeyboardInterrupt: also for SIGTERM and SIGHUP, once the server has been stopped; the message says
            how to continue.
    """
    plan = read(name)
    images = gather(data, plan.images)
    out.mkdir(parents=True, exist_ok=True)
    file = ResultFile(out / RESULTS)
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    try:
        asyncio.run(_Sweep(plan, images, file, running, console).run())
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise KeyboardInterrupt(f"interrupted; {CONTINUE}") from None
    except OvertoneError as error:
        raise SweepError(f"{error}; {CONTINUE}") from error
    console.print(f"report: {report.write(file, out)}")
    return 1 if any(result.errors for result in file.results()) else 0


class _Sweep:
    def __init__(
        self, plan: Plan, images: ImageSet, file: ResultFile, running: RunningServer | None, console: Console
    ) -> None:
        self._plan, self._images, self._file, self._running = plan, images, file, running
        self._token = running.token if running else None
        self._console = console
        self._prepared: dict[int | str, list[PreparedImage]] = {}
        self._machine = about_machine()  # now, so that its load average is that of other programs

    async def run(self) -> None:
        stop_on_signals()
        with TemporaryDirectory(prefix="overtone-") as folder, self._console.status("starting a server ..."):
            cache = Path(folder)
            async with self._server(cache) as server:
                equal = self._replace_equal(server)
                subject = f"{server.name} {server.profile.id.hex()} {len(self._images.paths)} images"
                runs = {run.key(subject): run for run in self._plan.runs()}
                left = {key: run for key, run in runs.items() if key not in self._file.keys}
                self._introduce(server, equal, len(runs), len(left))
                await self._measure(left, server, cache)
                await self._trace(subject, server)

    def _replace_equal(self, server: Server) -> IsoAccuracy | None:
        """Use the baseline of equal accuracy that was found for this model, if there is one."""
        if not self._plan.equal:
            return None
        equal = logged(log_of(server.name), server.profile.id.hex())
        if equal is not None:
            self._plan = self._plan.with_equal(equal.baseline)
        return equal

    @asynccontextmanager
    async def _server(self, cache: Path) -> AsyncIterator[Server]:
        """The server; its profile is cached for the devices, as if they had connected before."""
        if self._running is None:
            async with serving(self._plan.model, cache=cache) as server:
                yield server
        else:
            yield await inspect(self._running.addresses, self._token, cache)

    def _introduce(self, server: Server, equal: IsoAccuracy | None, total: int, left: int) -> None:
        self._file.add(
            {
                "type": ABOUT,
                "plan": self._plan.model_dump(mode="json", by_alias=True),
                "model": server.name,
                "size": server.profile.size,
                "profile": server.profile.id.hex(),
                "quality": server.profile.quality,
                "images": len(self._images.paths),
                "origin": Path(self._images.origin).name,
                "note": self._images.note,
                "server": self._running.host if self._running else "on the same machine",
                "machine": self._machine,
                "equal": equal.document() if equal else None,
            }
        )
        done = f", {total - left} of them measured already" if left < total else ""
        self._console.print(
            f"{self._plan.title}: {total} runs{done}; {server.name}, {len(self._images.paths)} images from "
            f"{self._images.origin}"
        )

    async def _measure(self, left: dict[str, Run], server: Server, cache: Path) -> None:
        with _progress(self._console) as progress:
            total = sum(run.estimated_seconds for run in left.values())
            task = progress.add_task("", total=total, now="encoding images")
            for key, run in left.items():
                images, device = (
                    await self._prepare(run.point, server),
                    self._device(run.point, server, cache),
                )
                progress.update(task, now=describe(run))
                done = partial(progress.advance, task, run.estimated_seconds / run.images)
                # Each round sends other images, the same ones at every point.
                start = run.round * run.images % len(images)
                target, ordered = server.addresses[device.transport], images[start:] + images[:start]
                result = await _measure(run, device, target, ordered, done)
                self._file.add(Result.of(key, run, result).line())

    async def _prepare(self, point: Point, server: Server) -> list[PreparedImage]:
        """The encoded images of a point; each set is encoded once."""
        which = point.baseline or point.quality
        if which not in self._prepared:
            self._prepared[which] = await asyncio.to_thread(
                prepare,
                server.profile,
                server.labels,
                self._images.paths,
                quality=point.quality or None,
                baseline=Baseline.parse(point.baseline) if point.baseline else None,
                task=server.task,
            )
        return self._prepared[which]

    def _device(self, point: Point, server: Server, cache: Path) -> DeviceConfig:
        return DeviceConfig(
            kind=point.kind,
            policy=point.policy or "auto",
            operating_point=point.operating_point,
            quality=point.quality or None,
            baseline=Baseline.parse(point.baseline) if point.baseline else None,
            token=self._token,
            cache=cache,
            task=server.task,
        )

    async def _trace(self, subject: str, server: Server) -> None:
        if server.task == "detect":  # the tracer cannot send layers of regions
            return
        for link in self._plan.timelines:
            key = json.dumps(["timeline", subject, link])
            if key in self._file.keys:
                continue
            images = await self._prepare(Point(link, "session"), server)
            with self._console.status(f"tracing one escalated image over {link} ..."):
                found = await trace(images, server.addresses, link, self._token)
            if found is not None:
                self._file.add({"type": TIMELINE, "key": key, "link": link, **found})


async def _measure(
    run: Run, device: DeviceConfig, target: str, images: list[PreparedImage], done: Callable[[], None]
) -> FleetResult:
    point = run.point
    if point.in_flight > 1:
        stream = StreamConfig(device, point.link, point.in_flight, run.warmup)
        return await run_stream(stream, target, images, run.images, done)
    fleet = FleetConfig(device, point.link, point.devices, run.warmup, point.per_second)
    return await run_fleet(fleet, target, images, run.images, done)


def describe(run: Run) -> str:
    """A run in a few words."""
    point = run.point
    what = point.baseline or " ".join(filter(None, (point.kind, point.policy, point.operating_point)))
    quality = f", quality {point.quality}" if point.quality else ""
    devices = f", {point.devices} devices" if point.devices > 1 else ""
    stream = f", {point.in_flight} in flight" if point.in_flight > 1 else ""
    return f"{point.link}: {what}{quality}{devices}{stream}"


def _progress(console: Console) -> Progress:
    return Progress(
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("elapsed,"),
        TimeRemainingColumn(),
        TextColumn("left: {task.fields[now]}"),
        console=console,
        speed_estimate_period=120,
    )
