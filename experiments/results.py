"""Render the tables of docs/results.md from the logs in docs/runs: `python -m experiments.results`.

A table stands between `<!-- NAME -->` and `<!-- end of NAME -->`. Everything else on the page is written by hand.
Tables of detectors are left as they are where their logs do not exist.
"""

import json
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from experiments import detection_results, paper_results
from experiments.gate import HeatMap
from experiments.paper_results import Published
from experiments.select import select, shared
from overtone.benchmarks.markdown import table
from overtone.benchmarks.pages import filled

Json = Any
# The logged runs by the name of their recipe, one per seed.
Runs = dict[str, list[Json]]
DOCS = Path("docs")
# Two identical runs of the report differed by 0.6 points; a smaller difference is not an order.
NOISE = 0.6


# One line for each finished run.
RUNS = "experiments.jsonl"


class ResultsError(ValueError):
    """A log that is missing or damaged."""


def read_runs(folder: Path) -> Runs:
    """All runs of experiments logged in a folder, by name."""
    found: Runs = {}
    for run in read_log(folder / RUNS):
        found.setdefault(run["name"], []).append(run)
    return found


def read_log(path: Path) -> list[Json]:
    """The runs of a log, which has one run a line; none if there is no such file yet."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [_parsed(line, path) for line in lines]


def _read(path: Path) -> Json:
    try:
        return _parsed(path.read_text("utf-8"), path)
    except FileNotFoundError:
        raise ResultsError(f"{path}: no such log; docs/results.md says which command writes it") from None


def _parsed(text: str, path: Path) -> Json:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ResultsError(f"{path}: not JSON ({error})") from None


def default_result(run: Json) -> Json:
    """The entry that represents a run: a cascade's default quality, a single network's finest step."""
    if not run["results"]:
        raise ResultsError(f"{run['name']}: has no results; train it on data with a val/ split")
    return next((e for e in run["results"] if e.get("default")), run["results"][-1])


def points(runs: Sequence[Json], *keys: str) -> list[float]:
    """A fraction of each run's default result, in percent; by default top-1 of the cascade or network."""
    entries = [default_result(run) for run in runs]
    for key in keys or (("cascade", "top1") if "cascade" in entries[0] else ("top1",)):
        entries = [entry[key] for entry in entries]
    return [100 * float(entry) for entry in entries]


def mean(values: Sequence[float]) -> str:
    """The mean and, with several values, the standard deviation."""
    return f"{fmean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def costs(_: Runs) -> str:
    """Parameters and multiply-adds, counted on the networks, beside the published ones."""
    rows = []
    for line in paper_results.COSTS:
        ours = line.network.cost_at(line.classes, line.size)
        counted = f"{ours.parameters / 1e6:.3f} M", f"{ours.macs / 1e9:.3f} G"
        rows.append((line.what, f"{line.parameters:.3f} M", counted[0], f"{line.macs:.3f} G", counted[1]))
    return table(("network, 448 px, 100 classes", "published", "ours", "MACs published", "ours"), rows)


def systems(lines: Sequence[Published]) -> Callable[[Runs], str]:
    """The table of single networks beside the published numbers."""

    def render(runs: Runs) -> str:
        rows = []
        for line in lines:
            if ours := runs.get(line.run):
                counted = ours[0]["cost"]
                size = f"{counted['parameters'] / 1e6:.2f} M", f"{counted['macs'] / 1e9:.3f} G"
                rows.append((line.what, line.percent, mean(points(ours)), str(len(ours)), *size))
        return table(("network", "published", "ours", "seeds", "parameters", "MACs"), rows)

    return render


def structures(runs: Runs) -> str:
    """The table of cascades: low only, always both, and the cascade."""
    keys = ("low", "top1"), ("both", "top1"), ("cascade", "top1"), ("exit_share",)
    rows = [
        (line.what, line.percent, *(mean(points(ours, *key)) for key in keys), str(len(ours)))
        for line in paper_results.STRUCTURES
        if (ours := runs.get(line.run))
    ]
    head = "structure", "published cascade", "low only", "both", "cascade", "answered low", "seeds"
    return table(head, rows)


def order(runs: Runs) -> str:
    """The pairs of lines that published results order beyond noise, and those in another order here."""
    rows = []
    for name, lines in paper_results.TABLES.items():
        known = [(line, fmean(points(runs[line.run]))) for line in lines if line.top1 and line.run in runs]
        pairs, other = 0, []
        for (a, ours_a), (b, ours_b) in combinations(known, 2):
            theirs, ours = (a.top1 or 0) - (b.top1 or 0), ours_a - ours_b
            pairs += abs(theirs) > NOISE
            if abs(theirs) > NOISE and theirs * ours <= 0:
                other.append(f"{a.what} / {b.what}: {theirs:+.2f} published, {ours:+.2f} here")
        rows.append((name, str(pairs), str(len(other)), "; ".join(other)))
    return table(("table", "pairs", "in another order here", "which"), rows)


def gates(runs: Runs) -> str:
    """The table of the gate's sweep, a row per lambda."""
    rows = []
    for run in (run for name in runs if name.startswith("gate-") for run in runs[name]):
        val, *_, calibration = [HeatMap.model_validate(each) for each in run["heatmaps"]]
        both = tuple(f"{shared(select(calibration, n))[n]} of {n}" for n in (24, 6))
        rows.append((val.cost, (f"{val.cost:g}", f"{val.mean_open:.1f}", f"{val.top1:.2%}", *both)))
    head = "lambda", "channels open", "top-1", "24 most opened, of the paper's 24", "6, of its 6"
    return table(head, [row for _, row in sorted(rows)])


def qualities(found: Json) -> str:
    """A checkpoint's first layer, all layers, and cascade, a line per quality; the default one in bold.

    The last column has the share of images that each layer but the last answers.
    """
    head = (
        "quality",
        "step",
        "first layer",
        "bytes",
        "all layers",
        "bytes",
        "cascade",
        "top-5",
        "bytes",
        "answered before the last",
    )
    rows = []
    # With a single quality the object itself is the only entry.
    for e in sorted(found.get("qualities", [found]), key=lambda e: int(e["quality"])):
        bold = "**" if e["quality"] == found["quality"] else ""
        cells = [f"{bold}{e['quality']}{bold}", f"{e['step']:g}"]
        for mode in (e["low"], e["both"]):
            cells += [f"{mode['top1']:.2%}", f"{mode['mean_payload_bytes']:.0f}"]
        cascade = e["cascade"]
        cells += [f"{bold}{cascade['top1']:.2%}{bold}", f"{cascade['top5']:.2%}"]
        early = [layer["share"] for layer in e.get("layers", [])[:-1]] or [cascade["exit_share"]]
        cells += [f"{bold}{cascade['mean_payload_bytes']:.0f}{bold}", " + ".join(f"{s:.1%}" for s in early)]
        rows.append(cells)
    return table(head, rows, left=0)


def thresholds(found: Json) -> str:
    """The table of the default quality by threshold, operating points among them."""
    rows = [
        (
            f"{row['threshold']:.3f}",
            row["operating_point"] or "",
            f"{row['exit_share']:.1%}",
            "" if row["low_answer_top1"] is None else f"{row['low_answer_top1']:.2%}",
            f"{row['top1']:.2%}",
            f"{row['mean_payload_bytes']:.0f}",
        )
        for row in found["thresholds"]
    ]
    return table(("threshold", "point", "answered low", "of these correct", "cascade", "bytes"), rows, left=0)


def guarantees(found: Json) -> str:
    """The table of guarantees: each bound, and the value found over random splits."""
    rows = []
    for trial in found:
        name, delta = trial["target"]["name"], trial["target"]["delta"]
        quantity = "in expectation" if delta is None else "how often alpha is exceeded"
        holds = "yes" if trial["holds"] else "**no**"
        rows.append((name, quantity, f"{trial['bound']:.2%}", f"{trial['found']:.3%}", holds))
    return table(("point", "bound on", "bound", "found", "holds"), rows, left=2)


def mixes(found: Json) -> str:
    """The table of high alone and mixes of low and high, on every split that was measured."""
    rows = []
    for data, ways in found["on"].items():
        for name, way in ways.items():
            gain = f"{100 * way['gain']:+.2f} ± {100 * way['error']:.2f}"
            rows.append((data, name, f"{way['both']:.2%}", gain, f"{way['nll']:.4f}"))
    return table(("on", "high answer", "top-1", "gain in points", "log-loss"), rows, left=2)


FROM_RUNS: dict[str, Callable[[Runs], str]] = {
    "costs": costs,
    "systems": systems(paper_results.SYSTEMS),
    "imagenet": systems(paper_results.IMAGENET),
    "structures": structures,
    "order": order,
    "gates": gates,
}
# Table -> log in docs/runs, and how it is rendered.
FROM_LOGS: dict[str, tuple[str, Callable[[Json], str]]] = {
    "imagenette-lite": ("evaluate-imagenette-lite.json", qualities),
    "trashnet-lite": ("evaluate-trashnet-lite.json", qualities),
    "photographs": ("evaluate-photographs.json", qualities),
    "agreement-voc2007": ("agreement-voc2007.json", qualities),
    "imagenette": ("evaluate-imagenette.json", qualities),
    "imagenette-thresholds": ("evaluate-imagenette.json", thresholds),
    "imagenette-guarantees": ("guarantees-imagenette.json", guarantees),
    "imagenette-mixes": ("mix-imagenette.json", mixes),
    "trashnet": ("evaluate-trashnet.json", qualities),
    "trashnet-thresholds": ("evaluate-trashnet.json", thresholds),
}


def render(page: Path, folder: Path) -> str:
    """The page with all of its tables rendered from the logs in a folder.

    Raises:
        ResultsError: a log is missing or damaged.
        PageError: the page lacks a marker.
    """
    runs = read_runs(folder)
    tables = {name: make(runs) for name, make in FROM_RUNS.items()}
    tables |= {name: make(_read(folder / log)) for name, (log, make) in FROM_LOGS.items()}
    return filled(page, tables | detection_results.tables(folder, _read))


def main(docs: Path = DOCS) -> None:
    """Render the tables of docs/results.md again."""
    page = docs / "results.md"
    page.write_text(render(page, docs / "runs"), "utf-8")
    print(f"wrote {page}")


if __name__ == "__main__":
    main()
