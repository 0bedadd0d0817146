"""The figures of detectors: AP50 against bytes, with three lines of Overtone's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overtone.benchmarks.curve.figure import PAYLOAD, WIRE, View, baselines, line
from overtone.benchmarks.detect.ours import Kind
from overtone.describe.figure_style import CASCADE

# Shades of one colour, as the others are the baselines'.
COLOURS: dict[Kind, str] = {"first layer": "#7FCFB5", "regions": CASCADE, "all layers": "#004D3A"}
NAMES: dict[Kind, str] = {
    "first layer": "first layer",
    "regions": "first, then regions",
    "all layers": "all layers",
}
VIEWS = tuple(view._replace(accuracy="ap50", label="AP50") for view in (PAYLOAD, WIRE))


def draw_both(found: Mapping[str, Any], path: Path) -> list[Path]:
    """The payload's figure at `path`, and beside it the wire's."""
    paths = [path, path.with_name(f"{path.stem}-wire{path.suffix}")]
    for view, each in zip(VIEWS, paths, strict=True):
        draw(found, view, each)
    return paths


def draw(found: Mapping[str, Any], view: View, path: Path) -> None:
    """One view; Overtone's lines are thick, and named in a legend."""
    with baselines(found, view, path) as axes:
        for kind, colour in COLOURS.items():
            rows = [row for row in found["ours"] if row["kind"] == kind]
            if rows:
                style = {"marker": "o", "markersize": 5.5, "linewidth": 2.8, "zorder": 5}
                line(axes, rows, view, colour, label=NAMES[kind], **style)
        axes.legend(title="Overtone", loc="upper left", alignment="left")
