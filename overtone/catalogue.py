"""What `overtone models` prints about checkpoints and servers' models, for people and as JSON. Needs no torch."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from overtone.frequency import Profile


@dataclass(frozen=True)
class Entry:
    """One model: its card, and where it is.

    Attributes:
        card: the card as parsed JSON; a server's may lack a few fields.
        profile: for which devices encode.
        where: the path of the file, or the address of the server.
        size: bytes of the file; None for a server's model.
    """

    card: Mapping[str, Any]
    profile: Profile
    where: str
    size: int | None = None

    @property
    def detects(self) -> bool:
        """Whether the model is a detector."""
        return bool(self.card.get("task") == "detect")

    @property
    def networks(self) -> list[str]:
        """The names of its networks, low and high."""
        architecture = self.card["architecture"]
        if self.detects:
            return [_body(architecture[band]) for band in ("low", "high")]
        if architecture.get("kind") == "bodies":
            return [architecture[band]["name"] for band in ("low", "high")]
        return [f"ResNet x{architecture[f'{band}_width']:g}" for band in ("low", "high")]

    @property
    def points(self) -> list[Mapping[str, Any]]:
        """The operating points for the default quality."""
        return [
            point
            for point in self.card["operating_points"]
            if point.get("quality") in (None, self.profile.quality)
        ]

    @property
    def accuracy(self) -> Mapping[str, Any] | None:
        """The measurements of the cascade at the default quality and operating point, if the card has them."""
        default = self.card["operating_point"]
        thresholds = [list(p["thresholds"]) for p in self.points if p["name"] == default and not self.detects]
        for measured in self.card.get("accuracy", ()):
            mine = (
                measured["operating_point"] == default
                if self.detects
                else list(measured["thresholds"]) in thresholds
            )
            if mine and measured["quality"] == self.profile.quality:
                return dict(measured)
        return None

    @property
    def mean_bytes(self) -> float | None:
        """Mean payload bytes of an image, as measured with `accuracy`, or else when the thresholds were chosen."""
        if self.accuracy is not None:
            return float(self.accuracy["mean_bytes"])
        chosen = [p.get("mean_bytes") for p in self.points if p["name"] == self.card["operating_point"]]
        return chosen[0] if chosen else None

    @property
    def origin(self) -> str:
        """The licence and the published weights that training began with."""
        origin = self.card.get("origin")
        return f"{origin['licence']}: {origin['weights']}" if origin else "trained from the beginning"

    def summary(self) -> dict[str, Any]:
        """The values that a list of models shows, under the keys of its JSON."""
        origin = self.card.get("origin") or {}
        measured = self.accuracy["cascade"] if self.accuracy else None
        return {
            "name": self.card["name"],
            "task": "detect" if self.detects else "classify",
            "where": self.where,
            "classes": len(self.card["classes"]),
            "networks": self.networks,
            "profile": self.profile.id.hex(),
            "quality": self.profile.quality,
            "top1": None if self.detects else measured,
            "ap50": measured if self.detects else None,
            "data": self.accuracy["data"] if self.accuracy else None,
            "mean_bytes": self.mean_bytes,
            "size_bytes": self.size,
            "licence": origin.get("licence"),
            "origin": origin.get("weights"),
        }

    def details(self) -> dict[str, Any]:
        """The object that `--json` prints for one model: the summary, and the card with a shortened profile."""
        profile = {
            "id": self.profile.id.hex(),
            "size": self.profile.size,
            "quality": self.profile.quality,
            "qualities": list(self.profile.qualities),
            "layers": [[layer.band, layer.factor] for layer in self.profile.ladder],
            "labels": list(self.profile.labels),
        }
        return self.summary() | {"card": {**self.card, "profile": profile}}


def print_list(entries: Iterable[Entry], console: Console) -> None:
    """Print a table with a row for each model."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("name", overflow="fold")
    table.add_column("networks", overflow="fold")
    for heading in ("labels", "quality", "top-1", "bytes", "MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("licence", overflow="fold")
    for entry in entries:
        origin = entry.card.get("origin")
        table.add_row(
            entry.card["name"],
            "\n".join(entry.networks),
            f"{len(entry.card['classes']):,}",
            str(entry.profile.quality),
            (f"{entry.accuracy['cascade']:.1%}" + " AP50" * entry.detects) if entry.accuracy else "",
            _number(entry.mean_bytes),
            "" if entry.size is None else f"{entry.size / 1e6:.1f}",
            origin["licence"] if origin else "Overtone's",
        )
    console.print(table, highlight=False)


def print_details(entry: Entry, console: Console) -> None:
    """Print one model: its properties, its operating points, and its measured accuracy."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for key, value in _facts(entry):
        grid.add_row(key, value)
    console.print(grid, highlight=False)
    points = _table(f"\noperating points at quality {entry.profile.quality}")
    for heading in ("name", "thresholds", "guarantee", "after layer 1", "bytes"):
        points.add_column(heading, justify="right" if heading in ("after layer 1", "bytes") else "left")
    for point in entry.points:
        default = " (default)" if point["name"] == entry.card["operating_point"] else ""
        share = point.get("exit_share", _answered(point.get("escalation_share")))
        points.add_row(
            point["name"] + default,
            _thresholds(point),
            _guarantee(point),
            "" if share is None else f"{share:.1%}",
            _number(point.get("mean_bytes")),
        )
    console.print(points, highlight=False)
    if measured := entry.card.get("accuracy"):
        console.print(_measured(measured), highlight=False)


def _facts(entry: Entry) -> Iterator[tuple[str, str]]:
    card, profile = entry.card, entry.profile
    yield "name", card["name"]
    yield "where", entry.where
    if entry.size is not None:
        yield "size", f"{entry.size / 1e6:.1f} MB"
    yield (
        "classes",
        f"{len(card['classes']):,}: {', '.join(profile.labels[:8])}" + ", ..." * (len(profile.labels) > 8),
    )
    yield "networks", " + ".join(entry.networks)
    if cost := card.get("cost"):
        yield (
            "cost",
            f"{cost['parameters'] / 1e6:.1f} M parameters; {cost['low_macs'] / 1e6:,.0f} M multiply-adds for the "
            f"first network, {cost['macs'] / 1e6:,.0f} M for both",
        )
    yield "profile", f"{profile.id.hex()}: {profile.size} pixels, {len(profile.ladder)} layers"
    yield (
        "qualities",
        ", ".join(f"{q} (default)" if q == profile.quality else str(q) for q in profile.qualities),
    )
    yield "licence and origin", entry.origin
    if training := card.get("training"):
        yield "trained on", f"{training['data']}, {training['images']:,} images"


def _measured(measured: Iterable[Mapping[str, Any]]) -> Table:
    table = _table("\nmeasured")
    for heading in ("data", "images", "quality", "top-1 (or AP50) after each layer", "cascade", "bytes"):
        table.add_column(heading, justify="left" if heading == "data" else "right")
    for row in measured:
        table.add_row(
            row["data"],
            f"{row['n']:,}",
            str(row["quality"]),
            ", ".join(f"{value:.1%}" for value in row.get("top1", row.get("ap50"))),
            f"{row['cascade']:.1%}",
            _number(row["mean_bytes"]),
        )
    return table


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )


def _body(features: Mapping[str, Any]) -> str:
    """The name of a detector's feature network."""
    return str(features["body"]["name"]) if "body" in features else f"ResNet x{features['width']:g}"


def _answered(escalated: float | None) -> float | None:
    return None if escalated is None else 1 - escalated


def _thresholds(point: Mapping[str, Any]) -> str:
    """The least confidences of final answers; of a detector, the scores between which a box is in doubt."""
    if "thresholds" in point:
        return ", ".join(f"{threshold:.3f}" for threshold in point["thresholds"])
    if point.get("whole"):
        return "all in doubt"
    inside = point["unsure"] < point["sure"]
    return f"in doubt: {point['unsure']:g} to {min(point['sure'], 1):g}" if inside else "none in doubt"


def _guarantee(point: Mapping[str, Any]) -> str:
    """The guarantee of an operating point in words, as `OperatingPoint` and `DetectionPoint` define it."""
    lose = "early answers lose" if "thresholds" in point else "answers miss"
    match point.get("method"):
        case "risk control":
            return f"{lose} at most {point['alpha']:.1%}, on average"
        case "high probability":
            return f"{lose} at most {point['alpha']:.1%}, except with probability {point['delta']:g}"
        case "share":
            return f"more than a layer for at most {point['share']:.0%}, on average"
        case "bytes":
            return f"at most {point['bytes']:.0f} bytes, on average"
    return "none"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
