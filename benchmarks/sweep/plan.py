"""What a sweep measures, as a TOML file says it; see benchmarks/sweep/plans."""

import hashlib
import json
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from overtone.benchmarks.link.profiles import PROFILES, link_profile
from overtone.benchmarks.load.talk import Kind
from overtone.benchmarks.load.upload import Rival
from overtone.edge_client import Policy

SWEEPS = Path(__file__).parent / "plans"


class PlanError(ValueError):
    """A plan that cannot be used; the message says where and why."""


def _link(name: str) -> str:
    if name not in PROFILES:
        raise ValueError(f"no link {name!r}: choose from {', '.join(PROFILES)}")
    return name


def _rival(name: str) -> str:
    return str(Rival.parse(name))


Count = Annotated[int, Field(ge=1)]
LinkName = Annotated[str, AfterValidator(_link)]
RivalName = Annotated[str, AfterValidator(_rival)]


@dataclass(frozen=True)
class Point:
    """One thing to measure.

    Attributes:
        link: name of each device's own link.
        kind: of device.
        policy: of sessions and REST devices; empty for others.
        operating_point: of the card; empty is its default.
        quality: of the profile; 0 is its default, or none for a rival.
        rival: what an uploading device sends, as "jpeg-224-75"; else empty.
        devices: how many at a time.
        per_second: pictures of each device a second; 0 is as fast as answered.
    """

    link: str
    kind: Kind
    policy: Policy | Literal[""] = ""
    operating_point: str = ""
    quality: int = 0
    rival: str = ""
    devices: int = 1
    per_second: float = 0.0


@dataclass(frozen=True)
class Run:
    """A point, measured once: in which grid, in which round, with how many pictures."""

    grid: str
    point: Point
    round: int
    pictures: int
    warmup: int

    def key(self, subject: str) -> str:
        """A name for it that changes whenever what would be measured does; `subject` is what is measured."""
        words = json.dumps([subject, asdict(self)], sort_keys=True)
        return hashlib.sha256(words.encode()).hexdigest()[:16]

    @property
    def weight(self) -> float:
        """Roughly how many seconds it takes on an idle machine of two cores, for a progress bar."""
        link, point = link_profile(self.point.link), self.point
        size = 0.2 * Rival.parse(point.rival).side ** 2 if point.rival else 1_200
        each = 1.2 * link.rtt + size / link.up.bytes + 0.02 * (1 + point.devices)
        if point.per_second:
            each = max(each, 1 / point.per_second)
        return 0.5 + 5 * link.rtt + each * (self.warmup + self.pictures / point.devices)


class Grid(BaseModel):
    """Every combination of what it lists; what a kind of device does not know is left out of it.

    Attributes:
        name: of the figure it is for: `links`, `accuracy` or `devices`.
        uploads: rivals, as "jpeg-224-75", measured on the same links with as many devices, at the first of
            the operating points.
        pictures: in each round, shared by the devices.
        each: at least so many of them for every device, so that large fleets come to rest too.
        rounds: all points are measured once before any is measured again, so that what else the machine
            does in the meantime hits them alike.
        warmup: pictures each device sends before any is counted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["links", "accuracy", "devices"]
    links: tuple[LinkName, ...] = Field(min_length=1)
    kinds: tuple[Literal["session", "one-shot", "rest"], ...] = ("session",)
    policies: tuple[Policy, ...] = ("auto",)
    operating_points: tuple[str, ...] = ("",)
    qualities: tuple[Annotated[int, Field(ge=0)], ...] = (0,)
    uploads: tuple[RivalName, ...] = ()
    devices: tuple[Count, ...] = (1,)
    images_per_second: Annotated[float, Field(ge=0)] = 0.0
    pictures: Count = 20
    each: Annotated[int, Field(ge=0)] = 0
    rounds: Count = 1
    warmup: Annotated[int, Field(ge=0)] = 2

    def points(self) -> list[Point]:
        """Its points, each once."""
        found: dict[Point, None] = {}
        for link, devices in product(self.links, self.devices):
            shared = {"devices": devices, "per_second": self.images_per_second}
            for kind, policy, point, quality in product(
                self.kinds, self.policies, self.operating_points, self.qualities
            ):
                chosen: Policy | Literal[""] = "" if kind == "one-shot" else policy
                found[Point(link, kind, chosen, point, quality, "", **shared)] = None  # type: ignore[arg-type]
            for rival in self.uploads:
                point = self.operating_points[0]
                found[Point(link, "upload", "", point, 0, rival, **shared)] = None  # type: ignore[arg-type]
        return list(found)

    def runs(self) -> Iterator[Run]:
        """Round after round, each begun at another point."""
        points = self.points()
        for number in range(self.rounds):
            shift = number * len(points) // self.rounds
            for point in points[shift:] + points[:shift]:
                pictures = max(self.pictures, self.each * point.devices)
                yield Run(self.name, point, number, pictures, self.warmup)


class Plan(BaseModel):
    """A sweep.

    Attributes:
        title: of the report.
        model: a checkpoint file, or the name of a bundled one; for the server that the sweep starts.
        pictures: how many different pictures there are.
        equal: the rival of equal accuracy, as "webp-112-40", and one of the uploads; what
            `benchmarks.sweep.fair` has logged of the model takes its place.
        timelines: links on which one escalated image is watched.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    model: str = "imagenette"
    pictures: Count = 200
    equal: RivalName | Literal[""] = ""
    timelines: tuple[LinkName, ...] = ()
    grids: tuple[Grid, ...] = Field(min_length=1, alias="grid")

    @model_validator(mode="after")
    def _equal_is_uploaded(self) -> Self:
        if self.equal and self.equal not in self.rivals:
            raise ValueError(f"equal: {self.equal} is none of the uploads")
        return self

    def runs(self) -> list[Run]:
        """All there is to measure."""
        return [run for grid in self.grids for run in grid.runs()]

    def with_equal(self, rival: Rival) -> Self:
        """The same with another rival of equal accuracy, wherever its own is uploaded."""
        grids = tuple(
            grid.model_copy(
                update={"uploads": tuple(str(rival) if u == self.equal else u for u in grid.uploads)}
            )
            for grid in self.grids
        )
        return self.model_copy(update={"equal": str(rival), "grids": grids})

    @property
    def rivals(self) -> list[str]:
        """All uploads, each once."""
        return list(dict.fromkeys(name for grid in self.grids for name in grid.uploads))


def read(name: str) -> Plan:
    """A plan from a TOML file, or one of those that come with Overtone (`short`, `full`).

    Raises:
        PlanError: there is none, or it cannot be used.
    """
    path = Path(name)
    if not path.suffix and not path.exists():
        path = SWEEPS / f"{name}.toml"
    try:
        return Plan.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in SWEEPS.glob("*.toml")))
        raise PlanError(f"{name}: no such plan; give a TOML file, or one of {known}") from None
    except IsADirectoryError:
        raise PlanError(f"{name}: a folder; give a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{name}: not TOML ({error})") from None
    except ValidationError as error:
        raise PlanError(f"{name}: {_complaints(error)}") from None


def _complaints(error: ValidationError) -> str:
    told = []
    for each in error.errors(include_url=False):
        where = ".".join(str(part) for part in each["loc"])
        told.append(": ".join(filter(None, (where, each["msg"].removeprefix("Value error, ")))))
    return "; ".join(told)
