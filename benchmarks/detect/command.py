"""The command `overtone bench bytes --task detect`: AP50 against bytes, of Overtone and of baselines.

Every reported setting was chosen on the calibration part of `train/`, for Overtone and for the baselines alike; all
reported numbers are of `val/`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from overtone import command
from overtone.benchmarks.curve import report as bytes_report
from overtone.benchmarks.curve.baselines import TITLES, Setting
from overtone.benchmarks.curve.comparison import BEST, comparisons
from overtone.benchmarks.curve.overhead import Overhead
from overtone.benchmarks.detect import entry as entries
from overtone.benchmarks.detect import figure, report
from overtone.benchmarks.detect.choosing import choose_ours, choose_rivals
from overtone.benchmarks.detect.entry import DetectionEntry, entry
from overtone.benchmarks.detect.ours import CascadeWay
from overtone.benchmarks.detect.outcome import Outcome
from overtone.benchmarks.detect.rivals import AGAIN, Pair
from overtone.benchmarks.detect.setup import Options, Setup, open_setup
from overtone.benchmarks.timed import timed

OVERHEAD_IMAGES = 24
ALL_LAYERS = "all its layers at once"


def run(data: Path, out: Path, options: Options, as_json: bool = False) -> None:
    """Measure, print tables or JSON, and write detect.json, detect.md and two figures into `out`.

    Raises:
        ValueError: no such checkpoint, baseline or folder, or detectors of different classes.
        KeyboardInterrupt: what was measured is kept in `out`; the same command continues from there.
    """
    console = command.console(stderr=as_json)
    setup = open_setup(data, out, options)
    try:
        document = _measure(setup, data, options, console)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; the same command continues from what is in {out}") from None
    out.mkdir(parents=True, exist_ok=True)
    (out / "detect.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    (out / "detect.md").write_text(bytes_report.markdown(report.tables(document)), "utf-8")
    figure.draw_both(document, out / "detect.png")
    if as_json:
        print(json.dumps(document))
    else:
        bytes_report.show(report.tables(document), console)
        console.print(
            f"wrote detect.json, detect.md, detect.png and detect-wire.png in {out}", soft_wrap=True
        )


def _measure(setup: Setup, data: Path, options: Options, console: Console) -> dict[str, Any]:
    val = setup.parts["val"]
    with timed("framing", console):
        step = -(-len(val) // OVERHEAD_IMAGES)
        framing = entries.measure_overhead(options.checkpoint, val.paths[::step])
    with timed("choosing Overtone's settings", console):
        chosen = choose_ours(setup.ours("calibration"), setup.card.profile, options.fast)
    with timed("choosing the baselines' settings", console):
        best = choose_rivals(setup.rival("calibration"), chosen, setup.size, options.fast)
    with timed("measuring Overtone's on val", console):
        ways = list(dict.fromkeys([*chosen.compared, *chosen.drawn]))
        mine = setup.ours("val").run(ways, "reporting Overtone")
    with timed(f"measuring {len(best)} of the baselines' on val", console):
        theirs = setup.rival("val").run(best, "reporting baselines")
    made = {way: _ours(way, outcome, way in chosen.compared, framing, setup) for way, outcome in mine.items()}
    with timed("comparing", console):
        rivals = _rivals(theirs, framing)
        whole = [each for way, each in made.items() if way.kind == "all layers"]
        ratios = comparisons(
            [made[way] for way in chosen.compared],
            {BEST: [each for own in rivals.values() for each in own]} | rivals | {ALL_LAYERS: whole},
        )
    return _document(setup, data, options, framing, ratios) | {
        "ours": [each.document() for each in made.values()],
        "rivals": [{"rival": name} | each.document() for name, own in rivals.items() for each in own],
    }


def _ours(
    way: CascadeWay, outcome: Outcome, compared: bool, framing: Overhead, setup: Setup
) -> DetectionEntry:
    layers = len(setup.card.profile.ladder) if way.kind == "all layers" else 1
    return entry(way.document | {"compared": compared}, outcome, framing, ours=True, layers=layers)


def _rivals(found: Mapping[Setting | Pair, Outcome], framing: Overhead) -> dict[str, list[DetectionEntry]]:
    """By codec, the chosen settings on val, and those that are sent again."""
    made: dict[str, list[DetectionEntry]] = {}
    for way, outcome in found.items():
        name = TITLES[way.codec] if isinstance(way, Setting) else AGAIN
        made.setdefault(name, []).append(entry(way.document, outcome, framing, ours=False))
    return made


def _document(
    setup: Setup, data: Path, options: Options, framing: Overhead, ratios: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The document of `detect.json`, without the entries."""
    number = next((r for r in ratios if (r["rival"], r["measure"]) == (BEST, "payload")), None)
    return {
        "task": "detect",
        "checkpoint": setup.card.name,
        "rival": setup.name,
        "rival_size": setup.size,
        "data": f"{data.name}/val",
        "n": len(setup.parts["val"]),
        "calibrated_on": len(setup.parts["calibration"]),
        "fast": options.fast,
        "parameters": setup.parameters(),
        "ratio": number and number["ratio"],
        "interval": number and [number["lower"], number["upper"]],
        "ratios": list(ratios),
        "overhead": asdict(framing),
    }
