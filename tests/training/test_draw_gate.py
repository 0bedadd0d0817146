from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from overtone.frequency.channels import COUNT, SETS
from overtone.training import draw_gate
from overtone.training.draw_gate import draw, draw_sweep, zigzag
from overtone.training.heatmap import HeatMap


def heatmap(cost: float = 0.5) -> HeatMap:
    """Shares that fall along the indices."""
    opened = tuple(1 - i / COUNT for i in range(COUNT))
    return HeatMap(
        cost=cost,
        n=1000,
        data="imagenette/val",
        size=160,
        step=4,
        top1=0.75,
        mean_open=sum(opened),
        open=opened,
    )


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_zigzag_is_the_standards() -> None:
    """ITU-T T.81, figure A.6: the first two rows and the last one."""
    order = zigzag()
    assert order[:8] == (0, 1, 5, 6, 14, 15, 27, 28)
    assert order[8:16] == (2, 4, 7, 13, 16, 26, 29, 42)
    assert order[56:] == (35, 36, 48, 49, 57, 58, 62, 63)


def test_one_heat_map(tmp_path: Path) -> None:
    draw(heatmap(), tmp_path / "one.png")
    width, height = size(tmp_path / "one.png")
    assert width > 2 * height > 1000


def test_a_sweep_has_a_row_a_lambda_cheapest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    grid = draw_gate._grid

    def watched(axes: Axes, found: HeatMap, component: int) -> None:
        seen.append(found.cost)
        grid(axes, found, component)

    monkeypatch.setattr(draw_gate, "_grid", watched)
    draw_sweep([heatmap(2), heatmap(0.5)], tmp_path / "two.png")
    assert seen == [0.5] * 3 + [2] * 3
    draw_sweep([heatmap()], tmp_path / "one.png")
    assert size(tmp_path / "two.png")[1] > 1.5 * size(tmp_path / "one.png")[1]


def test_cells_show_shares_and_indices() -> None:
    axes = Figure().subplots()
    draw_gate._grid(axes, heatmap(), 2)
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shown, np.array(heatmap().open[128:]).reshape(8, 8))
    assert [text.get_text() for text in axes.texts] == [str(i) for i in range(128, 192)]


def test_outlines_go_around_the_named_sets() -> None:
    square = draw_gate._outline({c for c in SETS[24] if c < 64})
    assert len(square) == 16
    assert {x for edge in square for x, _ in edge} == {-0.5, 0.5, 1.5, 2.5, 3.5}
    assert sorted(draw_gate._outline({9})) == sorted(
        [
            ((0.5, 0.5), (0.5, 1.5)),
            ((1.5, 0.5), (1.5, 1.5)),
            ((0.5, 0.5), (1.5, 0.5)),
            ((0.5, 1.5), (1.5, 1.5)),
        ]
    )
    assert draw_gate._outline(set()) == []
