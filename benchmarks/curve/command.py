"""The command `overtone bench bytes`: top-1 against bytes, of Overtone and of baselines.

Every reported setting was chosen on the calibration part of `train/`, for Overtone and for the baselines alike;
all reported numbers are of `val/`.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from overtone import command
from overtone.benchmarks.curve import figure as bytes_figure
from overtone.benchmarks.curve import ours, overhead, send_again
from overtone.benchmarks.curve import report as bytes_report
from overtone.benchmarks.curve.baselines import TITLES, Setting, has_jxl, settings
from overtone.benchmarks.curve.comparison import BEST, Entry, comparisons
from overtone.benchmarks.curve.evaluation import Evaluation, Outcome, identity
from overtone.benchmarks.curve.overhead import Overhead, Sizes
from overtone.benchmarks.curve.result_cache import ResultCache, fingerprint
from overtone.benchmarks.curve.send_again import Pair
from overtone.benchmarks.curve.successive_elimination import best_of_each, eliminate
from overtone.benchmarks.evenly import evenly_spread
from overtone.benchmarks.timed import timed
from overtone.models import Card, Cascade, choose_device, cost, find, load
from overtone.training import weights
from overtone.training.data import DataError, Images, read_split
from overtone.training.evaluation.metrics import card_cost, mean_macs
from overtone.training.evaluation.stopping import Rule

OVERHEAD_IMAGES = 24
# Of top-1: baselines are of interest from this far below Overtone's lowest to this far above its highest.
BELOW, ABOVE = 0.05, 0.01
# The baseline network's multiply-adds over Overtone's that still count as equal cost.
EQUAL_MACS = (0.95, 1.1)
# Calibration images are shuffled with this seed, so that the first ones represent all.
SEED = 0


@dataclass(frozen=True)
class Options:
    """The options: `images` is how many of each part, None for all; `workers` None for one per core.

    `slow` also tries AVIF at its slowest speed.
    """

    checkpoint: str = "imagenette"
    baseline: str = "imagenette"
    images: int | None = None
    workers: int | None = None
    device: str = "auto"
    slow: bool = True


@dataclass(frozen=True)
class Setup:
    """Both networks and their fingerprints, the images to choose and to report on, and where results are kept."""

    model: Cascade
    card: Card
    baseline: weights.Trained
    ids: tuple[str, str]
    parts: Mapping[str, Images]
    cache: ResultCache
    folder: Path
    workers: int
    slow: bool

    def evaluation(self, part: str, exact: bool) -> Evaluation:
        """The baseline's network on a part of the data."""
        name = f"{self.ids[1]} {part}"
        return Evaluation(self.baseline, self.parts[part], self.cache, name, self.workers, exact)

    def predictions(self, part: str) -> ours.CachedPredictions:
        """Overtone's network on a part of the data."""
        images = self.parts[part]
        name = f"{self.ids[0]}-{part}-{identity(images)}"
        return ours.CachedPredictions(self.model, self.card, images, self.folder, name, self.workers)

    def macs(self) -> dict[str, float]:
        """Multiply-adds per image: the baseline's, and Overtone's on average, from low, and from both.

        The average is that of the calibration images at the default operating point.
        """
        c, quality = self.card.cost, self.card.profile.quality
        calibration = self.predictions("calibration")
        judged = calibration.judged(ours.OperatingSetting(quality, Rule.of(self.card.point())))
        average = mean_macs(judged, calibration[quality].low_layers, card_cost(self.card))
        baseline = cost(self.baseline.system.module, self.baseline.recipe.size).macs
        return {"rival": baseline, "ours": average, "ours_low": c.low_macs, "ours_both": c.macs}


def run(data: Path, out: Path, options: Options, as_json: bool = False) -> None:
    """Measure, print tables or JSON, and write bytes.json, bytes.md and two figures into `out`.

    Raises:
        ValueError: no such checkpoint, baseline or folder, or networks for different classes.
        KeyboardInterrupt: what was measured is kept in `out`; the same command continues from there.
    """
    console = command.console(stderr=as_json)
    setup = open_setup(data, out, options)
    try:
        document = _measure(setup, data, options.checkpoint, console)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; the same command continues from what is in {out}") from None
    (out / "bytes.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    (out / "bytes.md").write_text(bytes_report.markdown(bytes_report.tables(document)), "utf-8")
    bytes_figure.draw_both(document, out / "bytes.png")
    if as_json:
        print(json.dumps(document))
    else:
        bytes_report.show(bytes_report.tables(document), console)
        console.print(f"wrote bytes.json, bytes.md, bytes.png and bytes-wire.png in {out}", soft_wrap=True)


def open_setup(data: Path, out: Path, options: Options) -> Setup:
    """Load both networks and find the images.

    Raises:
        ValueError: as `run`.
    """
    device = choose_device(options.device)
    files = find(options.checkpoint), weights.find_baseline(options.baseline)
    (model, card), baseline = load(files[0], device), weights.load(files[1])
    baseline.system.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if baseline.system.channels is not None:
        raise weights.WeightsError(f"{files[1]}: a baseline reads RGB images, this network channels")
    if baseline.classes != card.classes:
        raise weights.WeightsError(f"{files[1]}: trained for other classes than {options.checkpoint}")
    read = {
        name: read_split(data, name, card.classes, card.profile.labels) for name in ("calibration", "val")
    }
    parts = {name: part.take(evenly_spread(len(part), options.images)) for name, part in read.items()}
    count = len(parts["calibration"])
    if not count:
        raise DataError(f"{data}: settings are chosen on a tenth of train/, which has too few images")
    parts["calibration"] = parts["calibration"].take(np.random.default_rng(SEED).permutation(count).tolist())
    ids = fingerprint(files[0].read_bytes()), fingerprint(files[1].read_bytes())
    workers = (os.cpu_count() or 1) if options.workers is None else options.workers
    return Setup(
        model, card, baseline, ids, parts, ResultCache(out / "measured.jsonl"), out, workers, options.slow
    )


def warnings(macs: Mapping[str, float]) -> Iterator[str]:
    """Warnings for people about limits of the comparison."""
    if not has_jxl():
        yield "no JPEG XL: install it with pip install 'overtone[baselines]'"
    if not EQUAL_MACS[0] <= macs["rival"] / macs["ours"] <= EQUAL_MACS[1]:
        yield (
            f"the baseline takes {macs['rival'] / 1e9:.3f} G multiply-adds, Overtone {macs['ours'] / 1e9:.3f} G "
            "on average: a baseline of another size would make them equal"
        )


def _measure(setup: Setup, data: Path, checkpoint: str, console: Console) -> dict[str, Any]:
    with timed("framing", console):
        paths = setup.parts["val"].paths
        sample = [paths[i] for i in evenly_spread(len(paths), OVERHEAD_IMAGES)]
        framing = overhead.measure(checkpoint, sample)
    with timed("Overtone", console):
        macs = setup.macs()
        for warning in warnings(macs):
            console.print(warning, style="yellow", markup=False)
        chosen = ours.choose(setup.predictions("calibration"))
        val = setup.predictions("val")
        mine, plain = ours.entries(chosen, val, framing), ours.all_channels(val, framing)
    with timed("choosing the baselines' settings", console):
        calibration = setup.evaluation("calibration", exact=False)
        best, pairs = choose(calibration, chosen[0].accuracy, chosen[-1].accuracy, setup.slow)
    settings = list(dict.fromkeys([*best, *(s for pair in pairs for s in (pair.first, pair.second))]))
    with timed(f"measuring {len(settings)} of them on val", console):
        found = setup.evaluation("val", exact=True).run(settings, "reporting")
    with timed("their files without containers", console):
        bare = setup.evaluation("val", exact=True).bare(settings)
    codecs = _entries({setting: found[setting] for setting in best}, bare, framing)
    codecs[send_again.AGAIN] = send_again.entries(pairs, found, bare, framing)
    everyone = {**codecs, ours.ALL_CHANNELS: plain}
    best_of_all = {BEST: [entry for entries in codecs.values() for entry in entries]}
    ratios = comparisons(mine, best_of_all | everyone)
    number = next((r for r in ratios if (r["rival"], r["measure"]) == (BEST, "payload")), None)
    return {
        "checkpoint": setup.card.name,
        "rival": setup.baseline.recipe.name,
        "rival_size": setup.baseline.recipe.size,
        "data": f"{data.name}/val",
        "n": len(setup.parts["val"]),
        "calibrated_on": len(setup.parts["calibration"]),
        "ratio": number and number["ratio"],
        "interval": number and [number["lower"], number["upper"]],
        "ratios": ratios,
        "ours": [entry.document() for entry in mine],
        "rivals": [{"rival": name} | e.document() for name, entries in everyone.items() for e in entries],
        "overhead": asdict(framing),
        "macs": macs,
    }


def choose(
    evaluation: Evaluation, lowest: float, highest: float, slow: bool = True
) -> tuple[list[Setting], list[Pair]]:
    """Each codec's settings on its frontier, and the pairs of which the second is sent again.

    `lowest` and `highest` are the top-1 that Overtone reaches. If `slow`, the settings of AVIF are also tried at its
    slowest speed.
    """
    floor, ceiling = lowest - BELOW, highest + ABOVE
    again = [setting for setting in settings() if setting.codec in send_again.CODECS]
    others = [setting for setting in settings() if setting.codec not in send_again.CODECS]
    # What is sent first may be poor, if it is small.
    tried = eliminate(evaluation, again, lowest - send_again.FIRST_BELOW)
    pairs = send_again.choose(tried, floor, ceiling)
    best = best_of_each(eliminate(evaluation, others, floor) | tried, floor, ceiling)
    if slow:
        slowest = [Setting("avif-slow", s.side, s.quality) for s in best if s.codec == "avif"]
        best += best_of_each(eliminate(evaluation, slowest, floor), floor, ceiling)
    return best, pairs


def _entries(
    found: Mapping[Setting, Outcome], bare: Mapping[Setting, Sizes], framing: Overhead
) -> dict[str, list[Entry]]:
    """The entries of the chosen settings on val, by codec."""
    entries: dict[str, list[Entry]] = {TITLES[setting.codec]: [] for setting in found}
    for setting, (sizes, correct, _) in found.items():
        sent = sizes.astype(np.float64)
        counts = {
            "payload": sent,
            "bare": bare[setting].astype(np.float64),
            "wire": framing.image.wire(sent),
            "post": framing.post.wire(sent),
        }
        entry = Entry(setting.document, counts, correct)  # type: ignore[arg-type]
        entries[TITLES[setting.codec]].append(entry)
    return entries
