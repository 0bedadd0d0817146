"""Load from many devices: `locust -f benchmarks/locustfile.py --host grpc://HOST:50051` (or http://HOST:8080).

Every user is a device behind a link of its own. Each picture is one request in locust's statistics: its type
is the kind of device, its name the stage that answered (`low`, `high`, `brownout`), its time from the first
byte sent to the answer, its size the payload bytes sent **up**. Beside them stand statistics of our own, left
out of locust's totals; see `benchmarks.load.statistics` and docs/load.md.
"""

import itertools
import logging
import time
from types import MethodType
from typing import Any, ClassVar, Literal

import gevent
from gevent.lock import BoundedSemaphore
from locust import User, constant, constant_throughput, events
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner
from rich.console import Console

from overtone.benchmarks.load import options as load_options
from overtone.benchmarks.load import page as load_page
from overtone.benchmarks.load.fleet import BREATHER
from overtone.benchmarks.load.remote_fleet import FleetError, RemoteFleet
from overtone.benchmarks.load.statistics import Statistics, lines, summary
from overtone.benchmarks.load.talk import Kind
from overtone.benchmarks.load.upload import Codec, Rival
from overtone.edge_client import Address

log = logging.getLogger("overtone")
REPORT = "overtone_busy"
WATCH_SECONDS = 2.0
READY = "overtone_ready"
# For workers to encode their pictures.
PATIENCE = 300.0
TOO_BUSY = 0.8


class Load:
    """The run as this process sees it."""

    fleet: ClassVar[RemoteFleet | None] = None
    prepared: ClassVar[tuple[Any, ...]] = ()
    numbers: ClassVar[Any] = itertools.count()
    busy: ClassVar[dict[str, float]] = {}
    watch: ClassVar[Any] = None
    # A worker may be told to start while it still gets ready.
    turn: ClassVar[Any] = BoundedSemaphore()


class Device(User):  # type: ignore[misc]
    """A device that sends one picture after the other; what it does it does in the fleet's process."""

    abstract = True
    kind: ClassVar[Kind]
    codec: ClassVar[Codec | Literal[""]] = ""

    def on_start(self) -> None:
        """Nothing is connected before the first picture: a server that is away is a failed request."""
        options = self.environment.parsed_options
        pace = options.images_per_second
        self.wait_time = MethodType(constant_throughput(pace) if pace else constant(0), self)
        self._number: int | None = None
        self._statistics = Statistics(self.environment, self.codec or self.kind)

    def on_stop(self) -> None:
        """Hang up."""
        if self._number is not None and Load.fleet is not None:
            Load.fleet.ask("leave", device=self._number)
            self._number = None

    def classify(self) -> None:
        """One picture, from a ready connection to its answer."""
        if Load.fleet is None or not Load.prepared:  # why is in the log
            raise StopUser
        try:
            if self._number is None:
                self._number = self._join(Load.fleet)
            self._statistics.add(Load.fleet.send(self._number))
        except FleetError as error:
            self._statistics.fail(error)
            self.on_stop()
            gevent.sleep(BREATHER)

    tasks: ClassVar[list[Any]] = [classify]

    def _join(self, fleet: RemoteFleet) -> int:
        options = self.environment.parsed_options
        number: int = next(Load.numbers)
        where = address(self.environment, type(self))
        assert where is not None  # or it would not have been chosen
        fleet.ask(
            "join",
            device=number,
            target=where.target,
            link=options.link,
            kind=self.kind,
            pictures=pictures(self.environment, type(self)),
            policy=options.policy,
            operating_point=options.operating_point,
            quality=options.quality or None,
            token=options.token or None,
        )
        return number


class GrpcDevice(Device):
    """A device with a gRPC session: low first, high by the policy."""

    kind = "session"


class GrpcOneShotDevice(Device):
    """A device that sends both payloads in one gRPC call."""

    kind = "one-shot"


class RestDevice(Device):
    """A device with a kept-alive HTTP connection: low first, high by the policy."""

    kind = "rest"


class JpegDevice(Device):
    """A rival: a device that uploads JPEGs over a kept-alive HTTP connection."""

    kind = "upload"
    codec = "jpeg"


class WebpDevice(Device):
    """A rival: a device that uploads WebPs over a kept-alive HTTP connection."""

    kind = "upload"
    codec = "webp"


DEVICES = (GrpcDevice, GrpcOneShotDevice, RestDevice, JpegDevice, WebpDevice)


def address(environment: Any, kind: type[Device]) -> Address | None:
    """The server's face for such devices, None where no option names one."""
    return load_options.address(environment.host, environment.parsed_options.http, kind.kind)


def choose_devices(environment: Any) -> None:
    """Where nobody is named or ticked the address decides: gRPC or REST; who has no address is left out."""
    named = [kind for kind in environment.user_classes if issubclass(kind, Device)]
    if set(named) == set(DEVICES) and not environment.parsed_options.class_picker:
        named = [GrpcDevice if Address.parse(environment.host).is_grpc else RestDevice]
    able = [kind for kind in named if address(environment, kind)]
    for kind in set(named) - set(able):
        log.warning("%s has no address: give it one with --host or --http", kind.__name__)
    others = [kind for kind in environment.user_classes if not issubclass(kind, Device)]
    environment.user_classes[:] = able + others


def pictures(environment: Any, kind: type[Device]) -> str:
    """The set such devices send: ours is "", a rival's has its name."""
    options = environment.parsed_options
    return str(Rival(kind.codec, options.rival_side, options.rival_quality)) if kind.codec else ""


def make_ready(environment: Any) -> None:
    """Start the fleet's process and have pictures encoded; once, as long as the options stay the same.

    Raises:
        Exception: whatever went wrong with the server, the options or the pictures.
    """
    options = environment.parsed_options
    kinds = [kind for kind in environment.user_classes if issubclass(kind, Device)]
    sets = sorted({pictures(environment, kind) for kind in kinds})
    key = (environment.host, options.pictures, options.picture_count, options.quality, *sets)
    if key == Load.prepared:
        return
    Load.prepared = ()
    if Load.fleet is None:
        Load.fleet = RemoteFleet()
    told = Load.fleet.ask(
        "prepare",
        host=environment.host,
        token=options.token,
        pictures=options.pictures,
        count=options.picture_count,
        quality=options.quality,
        sets=sets,
    )
    Load.prepared = key
    log.info("%s", told)


def try_to_get_ready(environment: Any) -> bool:
    """Whether devices are chosen and pictures ready; why not is in the log."""
    try:
        choose_devices(environment)
        if not isinstance(environment.runner, MasterRunner):
            with Load.turn:
                make_ready(environment)
    except Exception as error:
        log.error("%s: %s", environment.host, error)
        return False
    return True


def begin(environment: Any, **_: Any) -> None:
    """Get ready beforehand, as a run's time is counted from a moment after this one."""
    if environment.web_ui is not None:
        load_page.add(environment, Load.busy)
    if not environment.host:  # it will be entered on the web page
        return
    runner, ready = environment.runner, try_to_get_ready(environment)
    if isinstance(runner, WorkerRunner):
        runner.send_message(READY, ready)
    elif environment.parsed_options.headless:
        if isinstance(runner, MasterRunner):
            ready = ready and wait_for_workers(environment)
        if not ready:
            end()
            raise SystemExit(1)


def wait_for_workers(environment: Any) -> bool:
    """Whether as many workers as are expected have their pictures ready; why not is in their logs."""
    heard: list[bool] = []
    environment.runner.register_message(READY, lambda msg, **_: heard.append(msg.data))
    limit = time.monotonic() + PATIENCE
    while len(heard) < environment.parsed_options.expect_workers and all(heard):
        if time.monotonic() > limit:
            log.error("only %d workers got ready within %g s", len(heard), PATIENCE)
            return False
        gevent.sleep(0.1)
    return all(heard)


def begin_run(environment: Any, **_: Any) -> None:
    """Get ready again where options have changed on locust's web page, and watch how busy we are."""
    try_to_get_ready(environment)
    Load.busy.clear()
    if Load.watch is not None:
        Load.watch.kill()
    if not isinstance(environment.runner, MasterRunner):
        Load.watch = gevent.spawn(watch, Load.busy, client_of(environment))


def watch(busy: dict[str, float], name: str) -> None:
    """Note once in a while which share of a core locust here and its fleet have used since the last time."""
    before = 0.0, 0.0, 0.0
    while Load.fleet is not None:
        now = time.perf_counter(), time.process_time(), float(Load.fleet.ask("busy"))
        if before[0]:
            wall, here, there = (a - b for a, b in zip(now, before, strict=True))
            busy[f"{name}, locust"], busy[f"{name}, devices"] = here / wall, there / wall
        before = now
        gevent.sleep(WATCH_SECONDS)


def client_of(environment: Any) -> str:
    """The name of this generator among others."""
    runner = environment.runner
    return f"worker {runner.worker_index}" if isinstance(runner, WorkerRunner) else "here"


def report(client_id: str, data: dict[str, Any], **_: Any) -> None:
    """A worker tells the master how busy it is."""
    data[REPORT] = dict(Load.busy)


def hear(client_id: str, data: dict[str, Any], **_: Any) -> None:
    """The master notes it."""
    Load.busy.update(data.get(REPORT, {}))


def conclude(environment: Any, **_: Any) -> None:
    """Print our own figures under locust's."""
    end()
    figures = summary(environment.stats)
    if isinstance(environment.runner, WorkerRunner) or not (figures.pictures or figures.failed):
        return
    console = Console(stderr=True, highlight=False)
    console.print(
        "overtone: " + ", ".join(f"{name} {value}" for name, value in lines(figures)), soft_wrap=True
    )
    for name, share in sorted(Load.busy.items()):
        warning = ": it may be the bottleneck, take more --processes" if share > TOO_BUSY else ""
        console.print(f"overtone: generator {name}: busy {share:.0%} of a core{warning}", soft_wrap=True)


def end() -> None:
    """Let the devices go."""
    fleet, Load.fleet = Load.fleet, None
    if fleet is not None:
        fleet.close()


events.init_command_line_parser.add_listener(load_options.add)
events.init.add_listener(begin)
events.test_start.add_listener(begin_run)
events.report_to_master.add_listener(report)
events.worker_report.add_listener(hear)
events.quitting.add_listener(conclude)
