"""Load from many devices: `locust -f benchmarks/locustfile.py --host grpc://HOST:50051` (or http://HOST:8080).

Each picture is one request in locust's statistics: its type is the transport, its name the stage that
answered (`low`, `high`, `brownout`), its time from the first byte sent to the answer, and its length, other
than for locust's own users, the payload bytes sent **up**. Means are printed at the end.
"""

# locust patches the standard library for gevent when imported; gRPC has to be told before its first use.
from locust import User, constant, constant_throughput, events

import grpc.experimental.gevent  # isort: skip

grpc.experimental.gevent.init_gevent()

# ruff: noqa: E402
import logging
import os
import random
import time
from pathlib import Path
from types import MethodType
from typing import Any, ClassVar

import gevent
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner
from rich.console import Console

from benchmarks.exchange import Exchange, ExchangeError, GrpcExchange, RestExchange, Wishes
from benchmarks.load import Parcel, Tally, prepare
from edge_client.address import Address

log = logging.getLogger("overtone")
REPORT = "overtone"


class Load:
    """The run as this process sees it."""

    parcels: ClassVar[list[Parcel]] = []
    prepared: ClassVar[tuple[Any, ...]] = ()
    tally: ClassVar[Tally] = Tally()
    started: ClassVar[tuple[float, float]] = (0.0, 0.0)


class Device(User):  # type: ignore[misc]
    """A device that sends one picture after the other."""

    abstract = True
    transport: ClassVar[str]
    exchange_type: ClassVar[type[GrpcExchange] | type[RestExchange]]

    def on_start(self) -> None:
        """Nothing is connected before the first picture: a server that is away is a failed request."""
        pace = self.environment.parsed_options.images_per_second
        self.wait_time = MethodType(constant_throughput(pace) if pace else constant(0), self)
        self._exchange: Exchange | None = None

    def on_stop(self) -> None:
        """Hang up."""
        if self._exchange is not None:
            self._exchange.close()

    def classify(self) -> None:
        """One picture, from a ready connection to its answer."""
        if not Load.parcels:  # why is in the log
            raise StopUser
        parcel = random.choice(Load.parcels)
        start = time.perf_counter()
        try:
            if self._exchange is None:
                self._exchange = self.exchange_type(Address.parse(self.host), wishes(self.environment))
                start = time.perf_counter()
            outcome = self._exchange.send(parcel)
        except ExchangeError as error:
            self._fail(error, start)
            return
        Load.tally.add(outcome, parcel)
        self._record(outcome.stage, start, outcome.bytes_up, None)

    tasks: ClassVar[list[Any]] = [classify]

    def _fail(self, error: ExchangeError, start: float) -> None:
        Load.tally.failed += 1
        self._record("failed", start, 0, error)
        if error.fatal and self._exchange is not None:
            self._exchange.close()
            self._exchange = None
        gevent.sleep(0.5)

    def _record(self, name: str, start: float, size: int, error: Exception | None) -> None:
        self.environment.events.request.fire(
            request_type=self.transport,
            name=name,
            response_time=1e3 * (time.perf_counter() - start),
            response_length=size,
            exception=error,
            context={},
        )


class GrpcDevice(Device):
    """A device with a gRPC session."""

    transport = "grpc"
    exchange_type = GrpcExchange


class RestDevice(Device):
    """A device with a kept-alive HTTP connection."""

    transport = "rest"
    exchange_type = RestExchange


def add_options(parser: Any) -> None:
    """Ours, beside locust's own; on its web page too."""
    add = parser.add_argument
    add("--pictures", default="", help="Folder, one sub-folder a class (default: as overtone demo)")
    add("--picture-count", type=int, default=200, help="At most so many different pictures")
    add("--policy", choices=["on_demand", "at_once"], default="on_demand", help="When to send high")
    add("--quality", type=int, default=0, help="Quality of the profile (0: its default)")
    add("--operating-point", default="", help="Operating point of the card (empty: its default)")
    add("--images-per-second", type=float, default=0.0, help="Of each device (0: as fast as answered)")
    add("--token", default="", env_var="OVERTONE_TOKEN", is_secret=True, help="The server's")


def wishes(environment: Any) -> Wishes:
    """What the options say, for a connection."""
    options = environment.parsed_options
    return Wishes(options.policy == "at_once", options.operating_point, options.token)


def choose_devices(environment: Any) -> None:
    """The address decides which devices there are; those of the other transport would only fail."""
    host = environment.host
    fitting = GrpcDevice if Address.parse(host).is_grpc else RestDevice
    if any(issubclass(kind, Device) and kind is not fitting for kind in environment.user_classes):
        log.info("%s is for %s alone", host, fitting.__name__)
        environment.user_classes[:] = [
            kind for kind in environment.user_classes if not issubclass(kind, Device) or kind is fitting
        ] or [fitting]


def make_ready(environment: Any) -> None:
    """Ask the server for its profile and encode the pictures; once, as long as the options stay the same.

    Raises:
        Exception: whatever went wrong with the server, the options or the pictures.
    """
    options = environment.parsed_options
    key = (environment.host, options.pictures, options.picture_count, options.quality)
    if key == Load.prepared:
        return
    Load.parcels, Load.prepared = [], ()
    address = Address.parse(environment.host or "")
    kind = GrpcExchange if address.is_grpc else RestExchange
    served = kind.describe(address, wishes(environment))
    Load.parcels, line = prepare(
        served.profile,
        served.classes,
        Path(options.pictures) if options.pictures else None,
        options.picture_count,
        options.quality or None,
        lambda: gevent.sleep(0),
    )
    Load.prepared = key
    log.info("%s", line)


def begin(environment: Any, **_: Any) -> None:
    """Choose the devices; and get ready, as a run's time is counted from a moment after this one."""
    if not environment.host:  # it will be entered on the web page
        return
    choose_devices(environment)
    if isinstance(environment.runner, MasterRunner):
        return
    try:
        make_ready(environment)
    except Exception as error:
        log.error("%s: %s", environment.host, error)
        if environment.parsed_options.headless and not isinstance(environment.runner, WorkerRunner):
            raise SystemExit(1) from None


def begin_run(environment: Any, **_: Any) -> None:
    """Get ready again where options have changed on locust's web page, and count from zero."""
    Load.tally = Tally()
    if isinstance(environment.runner, MasterRunner):
        return
    try:
        make_ready(environment)
    except Exception as error:
        log.error("%s: %s", environment.host, error)
    Load.started = time.perf_counter(), time.process_time()


def report(client_id: str, data: dict[str, Any], **_: Any) -> None:
    """A worker tells the master."""
    data[REPORT] = Load.tally.take()


def hear(client_id: str, data: dict[str, Any], **_: Any) -> None:
    """The master adds what a worker tells."""
    if REPORT in data:
        Load.tally.merge(data[REPORT])


def conclude(environment: Any, **_: Any) -> None:
    """Print our own figures under locust's."""
    if isinstance(environment.runner, WorkerRunner) or not (Load.tally.pictures or Load.tally.failed):
        return
    console = Console(stderr=True, highlight=False)
    known = {name: value for name, value in Load.tally.figures().items() if value is not None}
    told = [
        f"{name} {value:,.3f}" if isinstance(value, float) else f"{name} {value:,}"
        for name, value in known.items()
    ]
    console.print("overtone: " + ", ".join(told), soft_wrap=True)
    wall, busy = (
        now - then for now, then in zip((time.perf_counter(), time.process_time()), Load.started, strict=True)
    )
    if Load.started[0]:
        share = busy / wall
        warning = ": the generator itself may be the bottleneck" if share > 0.8 else ""
        console.print(f"overtone: load generator busy {share:.0%} of one of {os.cpu_count()} cores{warning}")


events.init_command_line_parser.add_listener(add_options)
events.init.add_listener(begin)
events.test_start.add_listener(begin_run)
events.report_to_master.add_listener(report)
events.worker_report.add_listener(hear)
events.quitting.add_listener(conclude)
