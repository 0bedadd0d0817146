"""The pictures low is most and least sure of, as figure 16 of the report shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from overtone.frequency import fit, open_rgb
from overtone.models import Card
from overtone.training.calibrate import confidence
from overtone.training.data import Pictures
from overtone.training.predict import Predictions
from overtone.training.style import FAINT, INK, RIGHT, WRONG, figure

COLUMNS = 6
LETTERS = 18
# Inches: a cell with its text, the picture in it, and what stands above and below.
CELL, PICTURE = (1.95, 2.5), 1.75
TITLE, HEADING, NOTE = 0.5, 0.35, 0.4


@dataclass(frozen=True)
class Exhibit:
    """One picture with its true label and what both stages said of it."""

    path: Path
    truth: str
    low: str
    low_confidence: float
    high: str
    high_confidence: float


def choose(pictures: Pictures, p: Predictions, card: Card, count: int) -> tuple[list[Exhibit], list[Exhibit]]:
    """(most, least) confident low answers, the most extreme first: `count` each, and none in both."""
    low = confidence(p.low, card.temperature.low)
    high = confidence(p.high, card.temperature.high)
    labels, order = card.profile.labels, np.argsort(-low, kind="stable")

    def exhibit(i: int) -> Exhibit:
        said = labels[p.low[i].argmax()], float(low[i]), labels[p.high[i].argmax()], float(high[i])
        return Exhibit(pictures.paths[i], labels[p.targets[i]], *said)

    most, least = order[: min(count, (len(low) + 1) // 2)], order[::-1][: min(count, len(low) // 2)]
    return [exhibit(i) for i in most], [exhibit(i) for i in least]


def draw_gallery(what: str, pictures: Pictures, p: Predictions, card: Card, path: Path, count: int) -> None:
    """Two blocks of pictures as the network gets them, each framed by whether the low answer is right."""
    headings = "The low answers that are most confident", "The low answers that are least confident"
    blocks = [
        (heading, exhibits)
        for heading, exhibits in zip(headings, choose(pictures, p, card, count), strict=True)
        if exhibits
    ]
    note = "Under each picture: the low answer (green if right, red if wrong), the truth, the high answer."
    height = TITLE + sum(HEADING + _rows(exhibits) * CELL[1] for _, exhibits in blocks) + NOTE
    title = f"Sure and unsure: {what}"
    with figure(path, COLUMNS * CELL[0], height, title, note, fitted=False) as drawn:
        top = TITLE
        for heading, exhibits in blocks:
            drawn.text(0.01, 1 - top / height, heading, va="top", fontsize=11)
            top += HEADING
            for i, exhibit in enumerate(exhibits):
                row, column = divmod(i, COLUMNS)
                axes = _place(drawn, column * CELL[0], top + row * CELL[1])
                _cell(axes, exhibit, fit(open_rgb(exhibit.path), card.profile.size))
            top += _rows(exhibits) * CELL[1]


def _rows(exhibits: Sequence[Exhibit]) -> int:
    return -(-len(exhibits) // COLUMNS)


def _place(drawn: Figure, left: float, top: float) -> Axes:
    """Axes for the picture of a cell, at inches from the left and the top of the figure."""
    width, height = drawn.get_size_inches()
    left += (CELL[0] - PICTURE) / 2
    return drawn.add_axes((left / width, 1 - (top + PICTURE) / height, PICTURE / width, PICTURE / height))


def _cell(axes: Axes, e: Exhibit, rgb: NDArray[np.uint8]) -> None:
    colour = RIGHT if e.low == e.truth else WRONG
    axes.imshow(rgb)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, edgecolor=colour, linewidth=4)
    low, high = f"{_short(e.low)} {e.low_confidence:.1%}", f"{_short(e.high)} {e.high_confidence:.1%}"
    lines = (low, colour), (f"truth: {_short(e.truth)}", INK), (f"high: {high}", FAINT)
    for i, (text, shade) in enumerate(lines):
        at, weight = (0.5, -0.09 - 0.115 * i), "normal" if i else "bold"
        style = {"ha": "center", "va": "center"}
        axes.text(*at, text, style, transform=axes.transAxes, color=shade, weight=weight, size=9)


def _short(label: str) -> str:
    """A label that does not run into the next cell."""
    return label if len(label) <= LETTERS else label[: LETTERS - 1] + "…"
