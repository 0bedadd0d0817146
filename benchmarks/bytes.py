"""`overtone bench bytes`: top-1 against bytes, ours and what one would do otherwise.

Every setting that is reported was chosen on the calibration part of `train/`, ours and rivals' alike, by
payload and for rivals by bare bytes too; all numbers are of `val/`.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks import bytes_report, ours, overhead
from benchmarks.contest import Contest, Fitted, fingerprint, mean_bytes
from benchmarks.curve import Point, frontier
from benchmarks.demo import PLAIN_WIDTH
from benchmarks.ledger import Ledger
from benchmarks.overhead import Overhead
from benchmarks.rivals import TITLES, Way, has_jxl, ways
from benchmarks.verdict import BEST, Counts, Entry, verdicts
from models import Card, Cascade, choose_device, cost, find, load
from training import weights
from training.data import DataError, Pictures
from training.parts import read_part

# Ways that take more than this on average are of no interest to a thin link.
MOST_BYTES = 4500.0
# Pictures that tell which ways those are.
GLANCED = 48
OVERHEAD_PICTURES = 24


@dataclass(frozen=True)
class Options:
    """What may be chosen: `pictures` is how many of each part, None for all."""

    checkpoint: str = "imagenette"
    rival: str = "imagenette"
    pictures: int | None = None
    workers: int = 1
    device: str = "auto"


@dataclass(frozen=True)
class Sides:
    """Our network and the rival's, the pictures to choose and to report on, and where results are kept."""

    model: Cascade
    card: Card
    rival: weights.Trained
    calibration: Pictures
    val: Pictures
    ledger: Ledger
    # Both networks' fingerprints.
    ids: tuple[str, str]
    options: Options


def run(data: Path, out: Path, options: Options, as_json: bool = False) -> None:
    """Measure all, print a table or JSON, and write bytes.json, bytes.md and bytes.png into `out`.

    Raises:
        ValueError: no such checkpoint, rival or folder, or networks for other classes.
        KeyboardInterrupt: what was measured is kept in `out`, and the same command goes on from there.
    """
    _share_cores(options.workers)
    sides = _open(data, out, options)
    console = Console(stderr=as_json)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    if not has_jxl():
        console.print("no JPEG XL: pip install 'overtone[rivals]' brings it", style="yellow", markup=False)
    try:
        document = _measure(sides, data)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; the same command goes on from what is in {out}") from None
    (out / "bytes.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    (out / "bytes.md").write_text(bytes_report.markdown(document), "utf-8")
    bytes_report.draw(document, out / "bytes.png")
    if as_json:
        print(json.dumps(document))
    else:
        bytes_report.show(document, console)
        console.print(f"wrote bytes.json, bytes.md and bytes.png in {out}", soft_wrap=True)


def _share_cores(workers: int) -> None:
    """Leave a core to each worker: threads of a network that have to wait for one another crawl."""
    if workers:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) - workers))


def _open(data: Path, out: Path, options: Options) -> Sides:
    device, (ours_file, rival_file) = choose_device(options.device), _files(options)
    model, card = load(ours_file, device)
    rival = weights.load(rival_file)
    rival.system.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if rival.system.channels is not None:
        raise weights.WeightsError(f"{rival_file}: a rival reads RGB pictures, this network channels")
    if rival.classes != card.classes:
        raise weights.WeightsError(f"{rival_file}: trained for other classes than {options.checkpoint}")
    parts = (read_part(data, name, card.classes, card.profile.labels) for name in ("calibration", "val"))
    calibration, val = (_some(part, options.pictures) for part in parts)
    if not len(calibration):
        raise DataError(f"{data}: settings are chosen on a tenth of train/, and it has too few pictures")
    out.mkdir(parents=True, exist_ok=True)
    ids = fingerprint(ours_file), fingerprint(rival_file)
    return Sides(model, card, rival, calibration, val, Ledger(out / "measured.jsonl"), ids, options)


def _files(options: Options) -> tuple[Path, Path]:
    return find(options.checkpoint), weights.find_rival(options.rival)


def _some(pictures: Pictures, count: int | None) -> Pictures:
    """So many, evenly spread over the classes."""
    if count is None or count >= len(pictures):
        return pictures
    if count < 1:
        raise DataError(f"--pictures {count}: at least one is needed")
    return pictures.take([i * len(pictures) // count for i in range(count)])


def _measure(sides: Sides, data: Path) -> dict[str, Any]:
    framing = _overhead(sides)
    mine, plain = _ours(sides, framing)
    codecs = _rivals(sides, framing)
    best = {BEST: [entry for entries in codecs.values() for entry in entries]}
    found = verdicts(mine, {**best, **codecs, ours.ALL_CHANNELS: plain})
    everyone = {**codecs, ours.ALL_CHANNELS: plain}
    answer = next((v.found.ratio for v in found if (v.rival, v.measure) == (BEST, "payload")), None)
    return {
        "checkpoint": sides.card.name,
        "rival": sides.rival.recipe.name,
        "data": f"{data.name}/val",
        "n": len(sides.val),
        "calibrated_on": len(sides.calibration),
        "ratio": answer,
        "ratios": [verdict.document() for verdict in found],
        "ours": [entry.document() for entry in mine],
        "rivals": [{"rival": name} | e.document() for name, entries in everyone.items() for e in entries],
        "overhead": framing.document(),
        "macs": _macs(sides, mine),
    }


def _overhead(sides: Sides) -> Overhead:
    key = {"overhead": sides.ids[0]}
    if key not in sides.ledger:
        few = _some(sides.val, OVERHEAD_PICTURES)
        sides.ledger.add(key, overhead.measure(sides.options.checkpoint, few.paths).document())
    return Overhead.read(sides.ledger[key])


def _ours(sides: Sides, framing: Overhead) -> tuple[list[Entry], list[Entry]]:
    """Ours at the settings chosen, and the plain frequency network."""
    calibration, val = (
        ours.Predicted(
            sides.model,
            sides.card,
            pictures,
            sides.ledger.path.parent,
            f"{sides.ids[0]}-{part}-{len(pictures)}",
            sides.options.workers,
        )
        for part, pictures in (("calibration", sides.calibration), ("val", sides.val))
    )
    return ours.entries(ours.choose(calibration), val, framing), ours.all_channels(val, framing)


def _rivals(sides: Sides, framing: Overhead) -> dict[str, list[Entry]]:
    """By rival, the ways chosen on the calibration part, measured on val."""
    trying, reporting = (_contest(sides, part) for part in ("calibration", "val"))
    sizes = mean_bytes(trying.fitted, ways(), GLANCED)
    tried: dict[str, list[tuple[Point, Point]]] = {}
    affordable = [way for way, size in sizes.items() if size <= MOST_BYTES]
    for way, found in trying.run(affordable, "choosing"):
        points = (Point(float(c.mean()), found.top1, {"way": way}) for c in (found.bytes, found.bare))
        tried.setdefault(TITLES[way.codec], []).append((next(points), next(points)))
    chosen = [way for both in tried.values() for way in _chosen(both)]
    entries: dict[str, list[Entry]] = {title: [] for title in tried}
    for way, found in reporting.run(chosen, "reporting"):
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


def _contest(sides: Sides, part: str) -> Contest:
    pictures = sides.calibration if part == "calibration" else sides.val
    name = f"{sides.ids[1]} {part} {len(pictures)}"
    fitted = Fitted(pictures, sides.options.workers)
    return Contest(sides.rival.system, sides.rival.recipe.size, fitted, sides.ledger, name)


def _chosen(tried: Sequence[tuple[Point, Point]]) -> list[Way]:
    """The ways on one of two frontiers, by bytes and by bare bytes."""
    found = [point.settings["way"] for points in zip(*tried, strict=True) for point in frontier(points)]
    return list(dict.fromkeys(found))


def _macs(sides: Sides, mine: Sequence[Entry]) -> dict[str, float]:
    """Multiply-adds a picture: the rival's, and ours at the card's operating point and from low to both."""
    c = sides.card.cost
    share = sides.card.point().exit_share or 0.0
    average = c.low_macs + (1 - share) * (c.macs - c.low_macs)
    rival = cost(sides.rival.system.module, sides.rival.recipe.size).macs
    return {"rival": rival, "ours": average, "ours_low": c.low_macs, "ours_both": c.macs}
