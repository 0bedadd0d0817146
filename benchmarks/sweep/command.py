"""The command `overtone bench sweep`: measure what a plan says, go on where it stopped, and report."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from overtone.benchmarks.demo.command import Served, serving, stop_on_signals
from overtone.benchmarks.load.fleet import Order, harvest
from overtone.benchmarks.load.ready import Parcel, prepare
from overtone.benchmarks.load.talk import PATIENCE, Wish
from overtone.benchmarks.load.upload import Rival
from overtone.benchmarks.machine import about_machine
from overtone.benchmarks.pictures import Gallery, gather
from overtone.benchmarks.sweep import equal, report
from overtone.benchmarks.sweep.plan import Plan, Point, Run, read
from overtone.benchmarks.sweep.runs import ABOUT, TIMELINE, Book, Result
from overtone.benchmarks.sweep.timeline import watch
from overtone.edge_client import AsyncClient, OvertoneError
from overtone.edge_client.image_files import class_names

RESULTS = "results.jsonl"
GO_ON = "the same command goes on where it stopped"


class SweepError(ConnectionError):
    """A server that cannot be used; the message says why."""


@dataclass(frozen=True)
class Where:
    """A server that runs already."""

    host: str
    grpc_port: int = 50051
    http_port: int = 8080
    token: str | None = None


def run(name: str, data: Path | None, out: Path, where: Where | None = None) -> int:
    """Measure and report.

    Args:
        name: of the plan, or its file.
        data: pictures, see `benchmarks.pictures.gather`.
        out: folder of the results and the report; what is in its results already is not measured again.
        where: a server; without one it is started.

    Returns:
        The exit code: zero if every picture of the sweep has been answered.

    Raises:
        ValueError: a plan, pictures or results that cannot be used.
        SweepError: the server cannot be used, or has gone.
        ChildError: the server could not start.
        KeyboardInterrupt: also for SIGTERM and SIGHUP, once the server has been stopped; the message says
            how to go on.
    """
    plan = read(name)
    gallery = gather(data, plan.pictures)
    out.mkdir(parents=True, exist_ok=True)
    book = Book(out / RESULTS)
    console = Console(stderr=True)
    try:
        asyncio.run(_Sweep(plan, gallery, book, where, console).run())
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise KeyboardInterrupt(f"interrupted; {GO_ON}") from None
    except OvertoneError as error:
        raise SweepError(f"{error}; {GO_ON}") from error
    page = report.write(book, out)
    console.print(f"report: {page}", highlight=False, soft_wrap=True, markup=False)
    return 1 if any(result.errors for result in book.results()) else 0


class _Sweep:
    def __init__(
        self, plan: Plan, gallery: Gallery, book: Book, where: Where | None, console: Console
    ) -> None:
        self._plan, self._gallery, self._book, self._where = plan, gallery, book, where
        self._console = console
        self._parcels: dict[int | str, list[Parcel]] = {}
        self._equal: equal.Equal | None = None
        self._machine = about_machine()  # now, while all of its load is others'

    async def run(self) -> None:
        stop_on_signals()
        with TemporaryDirectory(prefix="overtone-") as folder, self._console.status("starting a server ..."):
            cache = Path(folder)
            async with self._serving(cache) as served:
                self._settle_equal(served)
                subject = f"{served.name} {served.profile.id.hex()} {len(self._gallery.paths)} pictures"
                runs = {run.key(subject): run for run in self._plan.runs()}
                left = {key: run for key, run in runs.items() if key not in self._book.keys}
                self._introduce(served, len(runs), len(left))
                await self._measure(left, served, cache)
                await self._watch(subject, served)

    def _settle_equal(self, served: Served) -> None:
        """Take the rival of equal accuracy from the log where there is one."""
        self._equal = (
            equal.logged(equal.log_of(served.name), served.profile.id.hex()) if self._plan.equal else None
        )
        if self._equal is not None:
            self._plan = self._plan.with_equal(self._equal.rival)

    @asynccontextmanager
    async def _serving(self, cache: Path) -> AsyncIterator[Served]:
        """The server; its profile is then in the cache, as of devices that have been there before."""
        if self._where is None:
            async with serving(self._plan.model) as served:
                await _learn(f"grpc://{served.addresses['grpc']}", None, cache)
                yield served
        else:
            where = self._where
            addresses = {
                "grpc": f"{where.host}:{where.grpc_port}",
                "rest": f"{where.host}:{where.http_port}",
            }
            yield await _learn(f"grpc://{addresses['grpc']}", where.token, cache, addresses)

    def _introduce(self, served: Served, total: int, left: int) -> None:
        self._book.add(
            {
                "type": ABOUT,
                "plan": self._plan.model_dump(mode="json", by_alias=True),
                "model": served.name,
                "size": served.profile.size,
                "profile": served.profile.id.hex(),
                "quality": served.profile.quality,
                "pictures": len(self._gallery.paths),
                "origin": Path(self._gallery.origin).name,
                "note": self._gallery.note,
                "server": "on the same machine" if self._where is None else self._where.host,
                "machine": self._machine,
                "equal": self._equal.document() if self._equal else None,
            }
        )
        done = f", {total - left} of them measured already" if left < total else ""
        self._console.print(
            f"{self._plan.title}: {total} runs{done}; {served.name}, "
            f"{len(self._gallery.paths)} pictures from {self._gallery.origin}",
            highlight=False,
            soft_wrap=True,
        )

    async def _measure(self, left: dict[str, Run], served: Served, cache: Path) -> None:
        with _progress(self._console) as progress:
            total = sum(run.weight for run in left.values())
            task = progress.add_task("", total=total, now="encoding pictures")
            for key, run in left.items():
                parcels = await self._ready(run.point, served)
                progress.update(task, now=describe(run))
                done = partial(progress.advance, task, run.weight / run.pictures)
                wish = self._wish(run.point, cache)
                target = served.addresses["grpc" if wish.scheme == "grpc" else "rest"]
                order = Order(wish, run.point.link, run.point.devices, run.warmup, run.point.per_second)
                # Each round sends other pictures, the same ones at every point.
                start = run.round * run.pictures % len(parcels)
                harvested = await harvest(
                    order, target, parcels[start:] + parcels[:start], run.pictures, done
                )
                self._book.add(Result.of(key, run, harvested).line())

    async def _ready(self, point: Point, served: Served) -> list[Parcel]:
        """The encoded pictures of a point; each set is made once."""
        which = point.rival or point.quality
        if which not in self._parcels:
            self._parcels[which] = await asyncio.to_thread(
                prepare,
                served.profile,
                list(served.labels),
                self._gallery.paths,
                quality=point.quality or None,
                rival=Rival.parse(point.rival) if point.rival else None,
            )
        return self._parcels[which]

    def _wish(self, point: Point, cache: Path) -> Wish:
        return Wish(
            kind=point.kind,
            policy=point.policy or "auto",
            operating_point=point.operating_point,
            quality=point.quality or None,
            rival=Rival.parse(point.rival) if point.rival else None,
            token=self._where.token if self._where else None,
            cache=cache,
        )

    async def _watch(self, subject: str, served: Served) -> None:
        for link in self._plan.timelines:
            key = json.dumps(["timeline", subject, link])
            if key in self._book.keys:
                continue
            point = Point(link, "session")
            parcels = await self._ready(point, served)
            token = self._where.token if self._where else None
            with self._console.status(f"watching one escalated image over {link} ..."):
                found = await watch(parcels, served.addresses, link, token)
            if found is not None:
                self._book.add({"type": TIMELINE, "key": key, "link": link, **found})


async def _learn(
    address: str, token: str | None, cache: Path, addresses: dict[str, str] | None = None
) -> Served:
    """What a server serves."""
    async with AsyncClient(address, token=token, cache=cache, timeout=PATIENCE) as client:
        card = await client.card()
        profile = client.profile
    labels = class_names(profile.labels, card["classes"])
    return Served(addresses or {}, str(card.get("name", address)), profile, labels)


def describe(run: Run) -> str:
    """A run in a few words."""
    point = run.point
    what = point.rival or " ".join(filter(None, (point.kind, point.policy, point.operating_point)))
    quality = f", quality {point.quality}" if point.quality else ""
    many = f", {point.devices} devices" if point.devices > 1 else ""
    return f"{point.link}: {what}{quality}{many}"


def _progress(console: Console) -> Progress:
    return Progress(
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left: {task.fields[now]}"),
        console=console,
        speed_estimate_period=120,
    )
