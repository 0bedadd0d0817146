"""`make results`: docs/results.md from the runs logged in docs/runs, nothing typed by hand.

The words stand in docs/results.template.md; every `$name` in it is a table made here.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev
from string import Template
from typing import Any

from overtone.models import cost
from overtone.training import logged, published
from overtone.training.markdown import table
from overtone.training.published import Published

Json = dict[str, Any]
# Two identical runs of the report differed by 0.6 points; smaller differences are not an order.
NOISE = 0.6


class ResultsError(ValueError):
    """A log that is not one, or a table whose runs are missing."""


@dataclass(frozen=True)
class Repeated:
    """The runs of one recipe, a seed each."""

    name: str
    runs: tuple[Json, ...]

    def points(self, *keys: str) -> list[float]:
        """A fraction of each run's default result, in percent."""
        found = []
        for run in self.runs:
            value: Any = default_result(run)
            for key in keys:
                value = value[key]
            found.append(100 * float(value))
        return found

    def mean(self, *keys: str) -> str:
        """Mean, and with several seeds their standard deviation."""
        points = self.points(*keys)
        spread = f" ± {stdev(points):.2f}" if len(points) > 1 else ""
        return f"{fmean(points):.2f}{spread}"

    @property
    def best(self) -> float:
        """Mean of what the system is judged by: the cascade's top-1, or a single network's, in percent."""
        return fmean(self.points("cascade", "top1") if self.cascade else self.points("top1"))

    @property
    def cascade(self) -> bool:
        """Whether these are runs of a cascade."""
        return "cascade" in default_result(self.runs[0])

    @property
    def seeds(self) -> str:
        """How many."""
        return str(len(self.runs))

    @property
    def cost(self) -> tuple[str, str]:
        """Parameters in millions and multiply-adds in billions."""
        cost = self.runs[0]["cost"]
        return f"{cost['parameters'] / 1e6:.2f} M", f"{cost['macs'] / 1e9:.3f} G"


def default_result(run: Json) -> Json:
    """The entry a run is judged by: the default quality of a cascade, the finest step of a single network."""
    entries = run["results"]
    if not entries:
        raise ResultsError(f"{run['name']}: no results were logged; train it on data with a val/ part")
    chosen: Json = next((e for e in entries if e.get("default")), entries[-1])
    return chosen


def read_runs(folder: Path) -> dict[str, Repeated]:
    """All runs logged in a folder, by the recipe's name."""
    found: dict[str, list[Json]] = {}
    for path in sorted(folder.glob("*.json")):
        run = _read(path)
        if isinstance(run, dict) and "recipe" in run and "results" in run:
            found.setdefault(run["name"], []).append(run)
    return {name: Repeated(name, tuple(runs)) for name, runs in found.items()}


def systems(lines: Sequence[Published]) -> Callable[[dict[str, Repeated]], str]:
    """Single networks on the same budget and data, beside the sources' numbers."""

    def say(runs: dict[str, Repeated]) -> str:
        rows = []
        for line in _present(lines, runs):
            ours = runs[line.run]
            rows.append((line.what, _points(line.top1), ours.mean("top1"), ours.seeds, *ours.cost))
        return table(("network", "published", "ours", "seeds", "parameters", "MACs"), rows)

    return say


def structures(runs: dict[str, Repeated]) -> str:
    """The cascades, low only, always both and cascade."""
    rows = []
    for line in _present(published.STRUCTURES, runs):
        ours = runs[line.run]
        modes = (ours.mean(mode, "top1") for mode in ("low", "both", "cascade"))
        rows.append((line.what, _points(line.top1), *modes, ours.mean("exit_share"), ours.seeds))
    head = "structure", "published cascade", "low only", "both", "cascade", "answered low", "seeds"
    return table(head, rows)


def costs(_: dict[str, Repeated]) -> str:
    """Parameters and multiply-adds, counted now on the networks themselves, beside the published ones."""
    rows = []
    for line in published.COSTS:
        ours = cost(line.build(), line.size, line.channels)
        counted = f"{ours.parameters / 1e6:.3f} M", f"{ours.macs / 1e9:.3f} G"
        rows.append((line.what, f"{line.parameters:.3f} M", counted[0], f"{line.macs:.3f} G", counted[1]))
    return table(("network, 448 px, 100 classes", "published", "ours", "MACs published", "ours"), rows)


def order(lines: Sequence[Published]) -> Callable[[dict[str, Repeated]], str]:
    """Where our order of the lines differs from the published one: a sentence for every such pair, if any."""

    def say(runs: dict[str, Repeated]) -> str:
        known = [line for line in _present(lines, runs) if line.top1 is not None]
        pairs = [(a, b) for a, b in combinations(known, 2) if abs((a.top1 or 0) - (b.top1 or 0)) > NOISE]
        if not pairs:
            return ""
        differing = [text for a, b in pairs if (text := _disagreement(a, b, runs))]
        head = (
            f"Of {len(pairs)} pairs whose published top-1 differs by more than {NOISE} points, "
            f"{len(pairs) - len(differing)} stand in the same order here."
        )
        return "\n".join([head, *(["", *differing] if differing else [])])

    return say


def _disagreement(a: Published, b: Published, runs: dict[str, Repeated]) -> str:
    theirs, ours = (a.top1 or 0) - (b.top1 or 0), runs[a.run].best - runs[b.run].best
    if theirs * ours > 0:
        return ""
    return f"- {a.what} against {b.what}: {theirs:+.2f} published, {ours:+.2f} here"


def budget(prefix: str) -> Callable[[dict[str, Repeated]], str]:
    """What the runs whose name begins so have in common: data, recipe, machine, time."""

    def say(runs: dict[str, Repeated]) -> str:
        chosen = [run for name, r in runs.items() if name.startswith(prefix) for run in r.runs]
        if not chosen:
            return "No such run has been logged yet."
        first, hours = chosen[0], sum(run["seconds"] for run in chosen) / 3600
        seeds = sorted({run["seed"] for run in chosen})
        return (
            f"{len(chosen)} runs, seeds {', '.join(map(str, seeds))}, on {first['images']:,} pictures of "
            f"{first['data']}/train; {hours:.1f} hours of epochs on {first['machine']['cores']} cores "
            f"({first['machine']['processor']}), torch {first['torch']}."
        )

    return say


def commands(prefix: str) -> Callable[[dict[str, Repeated]], str]:
    """The commands of the runs whose name begins so, one a line."""

    def say(runs: dict[str, Repeated]) -> str:
        lines = [run["command"] for n, r in sorted(runs.items()) if n.startswith(prefix) for run in r.runs]
        return "\n".join(f"    {line}" for line in lines) or "    (none logged yet)"

    return say


def _present(lines: Sequence[Published], runs: dict[str, Repeated]) -> list[Published]:
    return [line for line in lines if line.run in runs]


def _points(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


RUNS: dict[str, Callable[[dict[str, Repeated]], str]] = {
    "costs": costs,
    "systems": systems(published.SYSTEMS),
    "systems_order": order(published.SYSTEMS),
    "imagenet": systems(published.IMAGENET),
    "imagenet_order": order(published.IMAGENET),
    "structures": structures,
    "structures_order": order(published.STRUCTURES),
    "small_budget": budget("small-"),
    "small_commands": commands("small-"),
    "gates": lambda runs: logged.gates(
        [run for name in runs if name.startswith("gate-") for run in runs[name].runs]
    ),
}

# Name in the template -> file in docs/runs, and how its table is made.
DOCUMENTS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "imagenette": ("evaluate-imagenette.json", logged.qualities),
    "imagenette_thresholds": ("evaluate-imagenette.json", logged.thresholds),
    "imagenette_mix": ("mix-imagenette.json", logged.mixes),
    "imagenette_promises": ("promises-imagenette.json", logged.promises),
    "imagenette_rules": ("rules-imagenette.json", logged.rules),
    "trashnet": ("evaluate-trashnet.json", logged.qualities),
    "trashnet_thresholds": ("evaluate-trashnet.json", logged.thresholds),
}


def render(template: str, folder: Path) -> str:
    """The template with every table in its place, from the logs in a folder.

    Raises:
        ResultsError: the template asks for a table that does not exist or whose log is missing or damaged.
    """
    runs = read_runs(folder)
    found = {name: make(runs) for name, make in RUNS.items()}
    wanted = [name for name in DOCUMENTS if f"${name}" in template.split()]
    found |= {name: DOCUMENTS[name][1](_read(folder / DOCUMENTS[name][0])) for name in wanted}
    try:
        return Template(template).substitute(found)
    except KeyError as error:
        raise ResultsError(f"the template asks for ${error.args[0]}, and there is no such table") from None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ResultsError(f"{path}: no such log; the template says which command makes it") from None
    except ValueError as error:
        raise ResultsError(f"{path}: not JSON ({error})") from None


def main(docs: Path = Path("docs")) -> None:
    """Write docs/results.md."""
    text = render((docs / "results.template.md").read_text("utf-8"), docs / "runs")
    (docs / "results.md").write_text(text, "utf-8")
    print(f"wrote {docs / 'results.md'}")


if __name__ == "__main__":
    main()
