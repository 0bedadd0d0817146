"""`overtone bench bytes`: top-1 against bytes, ours and what one would do otherwise.

Every setting that is reported was chosen on the calibration part of `train/`, ours and rivals' alike, by
payload and for rivals by bare bytes too; all numbers are of `val/`.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from rich.console import Console

from overtone.benchmarks.curve import figure as bytes_figure
from overtone.benchmarks.curve import ours, overhead
from overtone.benchmarks.curve import report as bytes_report
from overtone.benchmarks.curve.contest import Contest, Outcome, Sending
from overtone.benchmarks.curve.delta_rate import Point, frontier, thinned
from overtone.benchmarks.curve.ledger import Ledger, fingerprint
from overtone.benchmarks.curve.overhead import Overhead
from overtone.benchmarks.curve.race import race, relevant
from overtone.benchmarks.curve.rivals import TITLES, Way, has_jxl, ways
from overtone.benchmarks.curve.verdict import BEST, Counts, Entry, verdicts
from overtone.benchmarks.demo.command import PLAIN_WIDTH
from overtone.models import Card, Cascade, choose_device, cost, find, load
from overtone.training import weights
from overtone.training.data import DataError, Images, read_split

OVERHEAD_PICTURES = 24
# Of top-1: rivals are of interest from so far below our own lowest to so far above our highest.
BELOW, ABOVE = 0.05, 0.01
# Multiply-adds of the rival's network over ours, and still equal; a dearer rival is only harder to beat.
EQUAL_MACS = (0.95, 1.1)
# Calibration pictures are tried in an order drawn from this, so that the first stand for all.
SEED = 0


@dataclass(frozen=True)
class Options:
    """What may be chosen: `pictures` is how many of each part, None for all; `workers` None for all cores."""

    checkpoint: str = "imagenette"
    rival: str = "imagenette"
    pictures: int | None = None
    workers: int | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Sides:
    """Our network and the rival's, the pictures to choose and to report on, and where results are kept."""

    model: Cascade
    card: Card
    rival: weights.Trained
    parts: Mapping[str, Images]
    ledger: Ledger
    # Both networks' fingerprints.
    ids: tuple[str, str]
    workers: int


def run(data: Path, out: Path, options: Options, as_json: bool = False) -> None:
    """Measure all, print tables or JSON, and write bytes.json, bytes.md and two figures into `out`.

    Raises:
        ValueError: no such checkpoint, rival or folder, or networks for other classes.
        KeyboardInterrupt: what was measured is kept in `out`, and the same command goes on from there.
    """
    console = Console(stderr=as_json)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    sides = _open(data, out, options)
    _warn(sides, console)
    try:
        document = _measure(sides, data, options.checkpoint, console)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; the same command goes on from what is in {out}") from None
    (out / "bytes.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    (out / "bytes.md").write_text(bytes_report.markdown(document), "utf-8")
    bytes_figure.draw_both(document, out / "bytes.png")
    if as_json:
        print(json.dumps(document))
    else:
        bytes_report.show(document, console)
        console.print(f"wrote bytes.json, bytes.md, bytes.png and bytes-wire.png in {out}", soft_wrap=True)


def _open(data: Path, out: Path, options: Options) -> Sides:
    device = choose_device(options.device)
    ours_file, rival_file = find(options.checkpoint), weights.find_baseline(options.rival)
    model, card = load(ours_file, device)
    rival = weights.load(rival_file)
    rival.system.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if rival.system.channels is not None:
        raise weights.WeightsError(f"{rival_file}: a rival reads RGB pictures, this network channels")
    if rival.classes != card.classes:
        raise weights.WeightsError(f"{rival_file}: trained for other classes than {options.checkpoint}")
    parts = {name: _part(data, name, card, options.pictures) for name in ("calibration", "val")}
    if not len(parts["calibration"]):
        raise DataError(f"{data}: settings are chosen on a tenth of train/, and it has too few pictures")
    out.mkdir(parents=True, exist_ok=True)
    ids = fingerprint(ours_file.read_bytes()), fingerprint(rival_file.read_bytes())
    workers = (os.cpu_count() or 1) if options.workers is None else options.workers
    return Sides(model, card, rival, parts, Ledger(out / "measured.jsonl"), ids, workers)


def _part(data: Path, name: str, card: Card, count: int | None) -> Images:
    """A part's pictures, in a random order if they are to choose on."""
    pictures = _some(read_split(data, name, card.classes, card.profile.labels), count)
    if name != "calibration":
        return pictures
    return pictures.take(np.random.default_rng(SEED).permutation(len(pictures)).tolist())


def _some(pictures: Images, count: int | None) -> Images:
    """So many, evenly spread over the classes."""
    if count is None or count >= len(pictures):
        return pictures
    if count < 1:
        raise DataError(f"--pictures {count}: at least one is needed")
    return pictures.take([i * len(pictures) // count for i in range(count)])


def _warn(sides: Sides, console: Console) -> None:
    """Of what makes the comparison less than it says."""
    if not has_jxl():
        console.print("no JPEG XL: pip install 'overtone[rivals]' brings it", style="yellow", markup=False)
    macs = _macs(sides)
    lowest, highest = EQUAL_MACS
    if not lowest <= macs["rival"] / macs["ours"] <= highest:
        both = f"{macs['rival'] / 1e9:.3f} G multiply-adds, ours {macs['ours'] / 1e9:.3f} G on average"
        console.print(f"the rival takes {both}: another size would make them equal", style="yellow")


def _measure(sides: Sides, data: Path, checkpoint: str, console: Console) -> dict[str, Any]:
    with _timed("framing", console):
        framing = overhead.measure(checkpoint, _some(sides.parts["val"], OVERHEAD_PICTURES).paths)
    with _timed("ours", console):
        reached, mine, plain = _ours(sides, framing)
    with _timed("choosing the rivals' settings", console):
        chosen = _choose(sides, reached[0] - BELOW, reached[-1] + ABOVE)
    with _timed(f"reporting {len(chosen)} of them", console):
        codecs = _report(sides, chosen, framing)
    best = {BEST: [entry for entries in codecs.values() for entry in entries]}
    everyone = {**codecs, ours.ALL_CHANNELS: plain}
    found = [verdict.document() for verdict in verdicts(mine, best | everyone)]
    number = next((v for v in found if (v["rival"], v["measure"]) == (BEST, "payload")), None)
    return {
        "checkpoint": sides.card.name,
        "rival": sides.rival.recipe.name,
        "rival_size": sides.rival.recipe.size,
        "data": f"{data.name}/val",
        "n": len(sides.parts["val"]),
        "calibrated_on": len(sides.parts["calibration"]),
        "ratio": number and number["ratio"],
        "interval": number and [number["lower"], number["upper"]],
        "ratios": found,
        "ours": [entry.document() for entry in mine],
        "rivals": [{"rival": name} | e.document() for name, entries in everyone.items() for e in entries],
        "overhead": framing.document(),
        "macs": _macs(sides),
    }


@contextmanager
def _timed(what: str, console: Console) -> Iterator[None]:
    began = perf_counter()
    yield
    console.print(f"{what}: {perf_counter() - began:.0f} s", style="dim", highlight=False)


def _ours(sides: Sides, framing: Overhead) -> tuple[list[float], list[Entry], list[Entry]]:
    """The top-1 we reach on the calibration part, ascending; ours on val; and the plain frequency network."""
    calibration, val = (
        ours.Predicted(
            sides.model,
            sides.card,
            sides.parts[part],
            sides.ledger.path.parent,
            f"{sides.ids[0]}-{part}-{_drawn(sides.parts[part])}",
            sides.workers,
        )
        for part in ("calibration", "val")
    )
    chosen = ours.choose(calibration)
    reached = [point.top1 for point in chosen]
    return reached, ours.entries(chosen, val, framing), ours.all_channels(val, framing)


def _choose(sides: Sides, floor: float, ceiling: float) -> list[Way]:
    """Of every codec the ways on its frontiers on the calibration part, by payload and by bare bytes."""
    by: dict[str, list[tuple[Way, Outcome]]] = {}
    for way, outcome in race(_contest(sides, "calibration", exact=False), ways(), floor).items():
        by.setdefault(TITLES[way.codec], []).append((way, outcome))
    return [way for tried in by.values() for way in _best(tried, floor, ceiling)]


def _best(tried: list[tuple[Way, Outcome]], floor: float, ceiling: float) -> list[Way]:
    """The ways of one codec on one of two frontiers, from the floor to the first that reaches the ceiling."""
    least = relevant(floor, [outcome.top1 for _, outcome in tried])
    enough = [(way, outcome) for way, outcome in tried if outcome.top1 >= least]
    whole, bare = (_climb(enough, count, ceiling) for count in ("bytes", "bare"))
    among = [point.settings["way"] for point in whole]
    rest = [point for point in bare if point.settings["way"] not in among]
    return [point.settings["way"] for point in thinned(whole) + rest]


def _climb(tried: list[tuple[Way, Outcome]], count: Literal["bytes", "bare"], ceiling: float) -> list[Point]:
    """The frontier by a count of bytes, up to the first point that reaches the ceiling."""
    points = frontier(Point(float(getattr(o, count).mean()), o.top1, {"way": way}) for way, o in tried)
    below = sum(point.top1 < ceiling for point in points)
    return points[: below + 1]


def _report(sides: Sides, chosen: list[Way], framing: Overhead) -> dict[str, list[Entry]]:
    """By rival, the chosen ways on val."""
    entries: dict[str, list[Entry]] = {TITLES[way.codec]: [] for way in chosen}
    for way, found in _contest(sides, "val", exact=True).run(chosen, "reporting").items():
        sent = found.bytes.astype(float)
        counts: Counts = {
            "payload": sent,
            "wire": framing.image.wire(sent),
            "post": framing.post.wire(sent),
            "bare": found.bare.astype(float),
        }
        title = TITLES[way.codec]
        entries[title].append(Entry(title, way.settings, found.right, counts))
    return entries


def _contest(sides: Sides, part: str, exact: bool) -> Contest:
    pictures = sides.parts[part]
    sending = Sending(sides.rival.system, sides.rival.recipe.size, pictures, exact)
    return Contest(sending, sides.ledger, f"{sides.ids[1]} {part} {_drawn(pictures)}", sides.workers)


def _drawn(pictures: Images) -> str:
    """A name for these pictures in this order."""
    names = "\n".join(f"{path.parent.name}/{path.name}" for path in pictures.paths)
    return f"{len(pictures)}-{fingerprint(names.encode())}"


def _macs(sides: Sides) -> dict[str, float]:
    """Multiply-adds a picture: the rival's, and ours at the card's operating point and from low to both."""
    c = sides.card.cost
    share = sides.card.point().exit_share or 0.0
    average = c.low_macs + (1 - share) * (c.macs - c.low_macs)
    rival = cost(sides.rival.system.module, sides.rival.recipe.size).macs
    return {"rival": rival, "ours": average, "ours_low": c.low_macs, "ours_both": c.macs}
