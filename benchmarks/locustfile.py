"""Load from many devices: `locust -f benchmarks/locustfile.py --host grpc://HOST:50051` (or http://HOST:8080).

Every user is a device behind a link of its own. Each image is one request in locust's statistics: its type is
the kind of device, its name the stage that answered (`low`, `high`, `brownout`), its time runs from the first
byte sent to the answer, its size is the payload bytes sent **up**. There are further statistics, left out of
locust's totals; see `benchmarks.load.statistics` and docs/load.md.
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
from overtone.benchmarks.load.baseline import Baseline, Codec
from overtone.benchmarks.load.clients import Kind
from overtone.benchmarks.load.fleet import PAUSE
from overtone.benchmarks.load.remote_fleet import FleetError, RemoteFleet
from overtone.benchmarks.load.statistics import Statistics, lines, summary
from overtone.edge_client import Address

log = logging.getLogger("overtone")
BUSY = "overtone_busy"
READY = "overtone_ready"
WATCH_SECONDS = 2.0
# For workers to encode their images.
READY_SECONDS = 300.0
TOO_BUSY = 0.8


class Load:
    """The state of this process."""

    fleet: ClassVar[RemoteFleet | None] = None
    prepared: ClassVar[tuple[Any, ...]] = ()
    numbers: ClassVar[Any] = itertools.count()
    busy: ClassVar[dict[str, float]] = {}
    watcher: ClassVar[Any] = None
    # A worker may be told to start while it is still preparing.
    preparing: ClassVar[Any] = BoundedSemaphore()


class Device(User):  # type: ignore[misc]
    """A device that sends one image after the other; the work is done in the fleet's process."""

    abstract = True
    kind: ClassVar[Kind]
    codec: ClassVar[Codec | Literal[""]] = ""

    def on_start(self) -> None:
        """Set up the user; it connects with its first image, so that a missing server is a failed request."""
        per_second = self.environment.parsed_options.images_per_second
        self.wait_time = MethodType(constant_throughput(per_second) if per_second else constant(0), self)
        self._number: int | None = None
        self._statistics = Statistics(self.environment, self.codec or self.kind)

    def on_stop(self) -> None:
        """Disconnect."""
        if self._number is not None and Load.fleet is not None:
            Load.fleet.ask("leave", device=self._number)
            self._number = None

    def classify(self) -> None:
        """Send one image and wait for its answer."""
        if Load.fleet is None or not Load.prepared:  # the reason is in the log
            raise StopUser
        try:
            if self._number is None:
                self._number = self._join(Load.fleet)
            self._statistics.add(Load.fleet.send(self._number))
        except FleetError as error:
            self._statistics.fail(error)
            self.on_stop()
            gevent.sleep(PAUSE)

    tasks: ClassVar[list[Any]] = [classify]

    def _join(self, fleet: RemoteFleet) -> int:
        options = self.environment.parsed_options
        number: int = next(Load.numbers)
        server = address(self.environment, type(self))
        assert server is not None  # `choose_devices` leaves out devices without an address
        fleet.ask(
            "join",
            device=number,
            target=server.target,
            link=options.link,
            kind=self.kind,
            images=image_set(self.environment, type(self)),
            policy=options.policy,
            operating_point=options.operating_point,
            quality=options.quality or None,
            token=options.token or None,
        )
        return number


class GrpcDevice(Device):
    """A device with a gRPC session: layers by the policy."""

    kind = "session"


class GrpcOneShotDevice(Device):
    """A device that sends all layers in one gRPC call."""

    kind = "one-shot"


class RestDevice(Device):
    """A device with a kept-alive HTTP connection: layers by the policy."""

    kind = "rest"


class JpegDevice(Device):
    """A baseline: a device that uploads JPEGs over a kept-alive HTTP connection."""

    kind = "upload"
    codec = "jpeg"


class WebpDevice(Device):
    """A baseline: a device that uploads WebPs over a kept-alive HTTP connection."""

    kind = "upload"
    codec = "webp"


DEVICES = (GrpcDevice, GrpcOneShotDevice, RestDevice, JpegDevice, WebpDevice)


def address(environment: Any, device: type[Device]) -> Address | None:
    """The server's address for such devices, None where no option gives one."""
    return load_options.address(environment.host, environment.parsed_options.http, device.kind)


def choose_devices(environment: Any) -> None:
    """If no class is named, the address decides between gRPC and REST; classes without an address are left out."""
    named = [device for device in environment.user_classes if issubclass(device, Device)]
    if set(named) == set(DEVICES) and not environment.parsed_options.class_picker:
        named = [GrpcDevice if Address.parse(environment.host).is_grpc else RestDevice]
    able = [device for device in named if address(environment, device)]
    for device in set(named) - set(able):
        log.warning("%s has no address: give it one with --host or --http", device.__name__)
    others = [user for user in environment.user_classes if not issubclass(user, Device)]
    environment.user_classes[:] = able + others


def image_set(environment: Any, device: type[Device]) -> str:
    """The name of the encoded images such devices send: "" for Overtone's, else the baseline's."""
    options = environment.parsed_options
    if not device.codec:
        return ""
    return str(Baseline(device.codec, options.baseline_side, options.baseline_quality))


def prepare(environment: Any) -> None:
    """Start the fleet's process and have images encoded, unless that has been done with the same options.

    Raises:
        Exception: whatever is wrong with the server, the options or the images.
    """
    options = environment.parsed_options
    devices = [device for device in environment.user_classes if issubclass(device, Device)]
    sets = sorted({image_set(environment, device) for device in devices})
    key = (environment.host, options.images, options.image_count, options.quality, *sets)
    if key == Load.prepared:
        return
    Load.prepared = ()
    if Load.fleet is None:
        Load.fleet = RemoteFleet()
    told = Load.fleet.ask(
        "prepare",
        host=environment.host,
        token=options.token,
        folder=options.images,
        count=options.image_count,
        quality=options.quality,
        sets=sets,
    )
    Load.prepared = key
    log.info("%s", told)


def try_to_prepare(environment: Any) -> bool:
    """Whether devices are chosen and images encoded; the reason why not is in the log."""
    try:
        choose_devices(environment)
        if not isinstance(environment.runner, MasterRunner):
            with Load.preparing:
                prepare(environment)
    except Exception as error:
        log.error("%s: %s", environment.host, error)
        return False
    return True


def on_init(environment: Any, **_: Any) -> None:
    """Prepare before the test starts, because its run time is counted from then on."""
    if environment.web_ui is not None:
        load_page.add(environment, Load.busy)
    if not environment.host:  # it will be entered on the web page
        return
    runner, ready = environment.runner, try_to_prepare(environment)
    if isinstance(runner, WorkerRunner):
        runner.send_message(READY, ready)
    elif environment.parsed_options.headless:
        if isinstance(runner, MasterRunner):
            ready = ready and wait_for_workers(environment)
        if not ready:
            close_fleet()
            raise SystemExit(1)


def wait_for_workers(environment: Any) -> bool:
    """Whether all expected workers are ready; the reason why not is in their logs."""
    heard: list[bool] = []
    environment.runner.register_message(READY, lambda msg, **_: heard.append(msg.data))
    limit = time.monotonic() + READY_SECONDS
    while len(heard) < environment.parsed_options.expect_workers and all(heard):
        if time.monotonic() > limit:
            log.error("only %d workers were ready within %g s", len(heard), READY_SECONDS)
            return False
        gevent.sleep(0.1)
    return all(heard)


def on_test_start(environment: Any, **_: Any) -> None:
    """Prepare again if options have changed on locust's web page, and watch the CPU use."""
    try_to_prepare(environment)
    Load.busy.clear()
    if Load.watcher is not None:
        Load.watcher.kill()
    runner = environment.runner
    if not isinstance(runner, MasterRunner):
        name = f"worker {runner.worker_index}" if isinstance(runner, WorkerRunner) else "here"
        Load.watcher = gevent.spawn(watch, name)


def watch(name: str) -> None:
    """Record every two seconds which share of a core locust and its fleet have used since the last time."""
    before = 0.0, 0.0, 0.0
    while Load.fleet is not None:
        now = time.perf_counter(), time.process_time(), float(Load.fleet.ask("cpu"))
        if before[0]:
            wall, locust, devices = (a - b for a, b in zip(now, before, strict=True))
            Load.busy[f"{name}, locust"], Load.busy[f"{name}, devices"] = locust / wall, devices / wall
        before = now
        gevent.sleep(WATCH_SECONDS)


def on_report_to_master(client_id: str, data: dict[str, Any], **_: Any) -> None:
    """A worker reports its CPU use."""
    data[BUSY] = dict(Load.busy)


def on_worker_report(client_id: str, data: dict[str, Any], **_: Any) -> None:
    """The master records it."""
    Load.busy.update(data.get(BUSY, {}))


def on_quitting(environment: Any, **_: Any) -> None:
    """Print Overtone's own figures below locust's."""
    close_fleet()
    figures = summary(environment.stats)
    if isinstance(environment.runner, WorkerRunner) or not (figures.images or figures.failed):
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("overtone: " + ", ".join(f"{name} {value}" for name, value in lines(figures)))
    for name, share in sorted(Load.busy.items()):
        warning = ": it may be the bottleneck, use more --processes" if share > TOO_BUSY else ""
        console.print(f"overtone: generator {name}: busy {share:.0%} of a core{warning}")


def close_fleet() -> None:
    """End the fleet's process."""
    fleet, Load.fleet = Load.fleet, None
    if fleet is not None:
        fleet.close()


events.init_command_line_parser.add_listener(load_options.add)
events.init.add_listener(on_init)
events.test_start.add_listener(on_test_start)
events.report_to_master.add_listener(on_report_to_master)
events.worker_report.add_listener(on_worker_report)
events.quitting.add_listener(on_quitting)
