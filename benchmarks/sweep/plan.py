"""A sweep's plan, read from a TOML file; see benchmarks/sweep/plans."""

import hashlib
import json
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from overtone.benchmarks.load.baseline import Baseline
from overtone.benchmarks.load.clients import Kind
from overtone.edge_client import Policy
from overtone.link.profiles import PROFILES, link_profile
from overtone.link.radio import Radio
from overtone.validation import one_line

PLANS = Path(__file__).parent / "plans"


class PlanError(ValueError):
    """A plan that cannot be used; the message says where and why."""


def _link(name: str) -> str:
    if name not in PROFILES:
        raise ValueError(f"no link {name!r}: choose from {', '.join(PROFILES)}")
    return name


Count = Annotated[int, Field(ge=1)]
LinkName = Annotated[str, AfterValidator(_link)]
BaselineName = Annotated[str, AfterValidator(lambda name: str(Baseline.parse(name)))]
# Plans written for earlier versions say `pictures`.
IMAGES = AliasChoices("images", "pictures")


@dataclass(frozen=True)
class Point:
    """A point to measure; empty and 0 are the model's defaults, or do not apply to this kind of device.

    `baseline` is what an uploading device sends, as "jpeg-224-75". Each device sends `per_second` images per
    second, or as fast as they are answered if that is 0. With more than one image `in_flight`, there is one device,
    which sends the next as soon as any is answered.
    """

    link: str
    kind: Kind
    policy: Policy | Literal[""] = ""
    operating_point: str = ""
    quality: int = 0
    baseline: str = ""
    devices: int = 1
    per_second: float = 0.0
    in_flight: int = 1


@dataclass(frozen=True)
class Run:
    """One measurement of a point: in which grid, in which round, with how many images."""

    grid: str
    point: Point
    round: int
    images: int
    warmup: int

    def key(self, subject: str) -> str:
        """An identifier that changes whenever what would be measured does; `subject` is what is measured."""
        words = json.dumps([subject, asdict(self)], sort_keys=True)
        return hashlib.sha256(words.encode()).hexdigest()[:16]

    @property
    def estimated_seconds(self) -> float:
        """Roughly how long it takes on an idle machine of two cores, for a progress bar."""
        link, point = link_profile(self.point.link), self.point
        size = 0.2 * Baseline.parse(point.baseline).side ** 2 if point.baseline else 1_200
        each = 1.2 * link.rtt + size / link.up.bytes + 0.02 * (1 + point.devices)
        if point.per_second:
            each = max(each, 1 / point.per_second)
        begin, sent = 0.5 + 5 * link.rtt, self.warmup + self.images / point.devices
        if point.in_flight > 1:
            each = max(1.1 * size / link.up.bytes, each / point.in_flight, 0.03)
            sent += 2 * point.in_flight
        return begin + each * sent


class Grid(BaseModel):
    """Every combination of what it lists; options that a kind of device does not have are left out.

    Attributes:
        name: of the figure it is for: `links`, `accuracy`, `devices` or `stream`.
        uploads: baselines, as "jpeg-224-75", measured on the same links with as many devices, at the first of
            the operating points.
        images: in each round, shared by the devices.
        each: at least so many of them for every device, so that large fleets reach a steady state.
        rounds: all points are measured once before any is measured again, so that other load on the machine
            affects them alike.
        warmup: images each device sends before any is counted.
        in_flight: images that the one device of a `stream` keeps in flight, so that its link is never idle.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["links", "accuracy", "devices", "stream"]
    links: tuple[LinkName, ...] = Field(min_length=1)
    kinds: tuple[Literal["session", "one-shot", "rest"], ...] = ("session",)
    policies: tuple[Policy, ...] = ("auto",)
    operating_points: tuple[str, ...] = ("",)
    qualities: tuple[Annotated[int, Field(ge=0)], ...] = (0,)
    uploads: tuple[BaselineName, ...] = ()
    devices: tuple[Count, ...] = (1,)
    images_per_second: Annotated[float, Field(ge=0)] = 0.0
    images: Count = Field(default=20, validation_alias=IMAGES)
    each: Annotated[int, Field(ge=0)] = 0
    rounds: Count = 1
    warmup: Annotated[int, Field(ge=0)] = 2
    in_flight: Count = 1

    @model_validator(mode="after")
    def _streams_are_of_one_device(self) -> Self:
        if (self.name == "stream") != (self.in_flight > 1):
            raise ValueError("in_flight: a stream has more than one image in flight, and no other grid has")
        if self.name == "stream" and (self.devices != (1,) or self.images_per_second):
            raise ValueError(
                "a stream is of one device, and as fast as its link: leave devices and images_per_second out"
            )
        return self

    def points(self) -> list[Point]:
        """The points of this grid, each once."""
        found: dict[Point, None] = {}
        for link, devices in product(self.links, self.devices):
            shared: dict[str, Any] = {
                "devices": devices,
                "per_second": self.images_per_second,
                "in_flight": self.in_flight,
            }
            for kind, policy, operating_point, quality in product(
                self.kinds, self.policies, self.operating_points, self.qualities
            ):
                used: Policy | Literal[""] = "" if kind == "one-shot" else policy
                found[Point(link, kind, used, operating_point, quality, **shared)] = None
            for baseline in self.uploads:
                found[Point(link, "upload", "", self.operating_points[0], 0, baseline, **shared)] = None
        return list(found)

    def runs(self) -> Iterator[Run]:
        """Round after round, each beginning at another point."""
        points = self.points()
        for number in range(self.rounds):
            shift = number * len(points) // self.rounds
            for point in points[shift:] + points[:shift]:
                images = max(self.images, self.each * point.devices)
                yield Run(self.name, point, number, images, self.warmup)


class Plan(BaseModel):
    """A sweep.

    Attributes:
        model: a checkpoint file, or the name of a bundled one; for the server that the sweep starts.
        images: how many different images there are.
        equal: the baseline of equal accuracy, one of the uploads; it is replaced by the one that
            `benchmarks.sweep.iso_accuracy` has found for the model.
        timelines: links on which one escalated image is traced.
        radios: by link, for energy; instead of those of `overtone.link.radio`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    model: str = "imagenette"
    images: Count = Field(default=200, validation_alias=IMAGES)
    equal: BaselineName | Literal[""] = ""
    timelines: tuple[LinkName, ...] = ()
    radios: dict[LinkName, Radio] = Field(default={}, alias="radio")
    grids: tuple[Grid, ...] = Field(min_length=1, alias="grid")

    @model_validator(mode="after")
    def _equal_is_uploaded(self) -> Self:
        if self.equal and not any(self.equal in grid.uploads for grid in self.grids):
            raise ValueError(f"equal: {self.equal} is none of the uploads")
        return self

    def runs(self) -> list[Run]:
        """All runs of the plan, grid after grid."""
        return [run for grid in self.grids for run in grid.runs()]

    def with_equal(self, baseline: Baseline) -> Self:
        """The same plan with another baseline of equal accuracy, wherever the present one is uploaded."""
        new = str(baseline)
        grids = tuple(
            grid.model_copy(update={"uploads": tuple(new if u == self.equal else u for u in grid.uploads)})
            for grid in self.grids
        )
        return self.model_copy(update={"equal": new, "grids": grids})


def read(name: str) -> Plan:
    """A plan from a TOML file, or one of those that come with Overtone (`short`, `full`, `stream`, `detect`).

    Raises:
        PlanError: there is none, or it cannot be used.
    """
    path = Path(name)
    if not path.suffix and not path.exists():
        path = PLANS / f"{name}.toml"
    try:
        return Plan.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in PLANS.glob("*.toml")))
        raise PlanError(f"{name}: no such plan; give a TOML file, or one of {known}") from None
    except IsADirectoryError:
        raise PlanError(f"{name}: a folder; give a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{name}: not TOML ({error})") from None
    except ValidationError as error:
        raise PlanError(f"{name}: {one_line(error)}") from None
