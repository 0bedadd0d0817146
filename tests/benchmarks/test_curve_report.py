"""Tables, pages and figures are made from a document alone; docs/bytes.md has the tables of its log."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from overtone.benchmarks import pages
from overtone.benchmarks.curve import figure, report
from overtone.benchmarks.curve.comparison import BEST
from overtone.benchmarks.curve.report import ReportError, markdown, page_tables, read_log, tables

DOCS = Path(__file__).parents[2] / "docs"


def row(size: float, top1: float, **settings: object) -> dict[str, Any]:
    return {"bytes": size, "top1": top1, "wire": size + 300, "post": size + 700} | settings


@pytest.fixture
def found() -> dict[str, Any]:
    """A document as `overtone bench bytes` writes it."""
    ours = [row(300, 0.80), row(500, 0.85), row(900, 0.86)]
    baselines = [
        {"rival": name} | row(size * f, top1, side=112, quality=20)
        for name, f in (("WebP", 1.0), ("AVIF", 1.2))
        for size, top1 in ((600, 0.78), (1100, 0.84), (2000, 0.87))
    ]
    ratio = {"ratio": 0.5, "lower": 0.45, "upper": 0.55, "from_top1": 0.8, "to_top1": 0.86}
    return {
        "checkpoint": "flowers",
        "rival": "baseline",
        "rival_size": 124,
        "data": "flowers/val",
        "n": 3000,
        "calibrated_on": 900,
        "ratio": 0.5,
        "interval": [0.45, 0.55],
        "ratios": [{"rival": BEST, "measure": m} | ratio for m in ("payload", "wire", "post")],
        "ours": [r | {"quality": q, "threshold": 0.7, "exit_share": 0.8} for q, r in enumerate(ours, 1)],
        "rivals": baselines,
        "overhead": {name: {"up": 48.0, "down": 63.0} for name in ("image", "high", "post")},
        "macs": dict.fromkeys(("rival", "ours", "ours_low", "ours_both"), 3.2e8),
    }


def test_markdown_has_all_tables(found: dict[str, Any]) -> None:
    page = markdown(tables(found))
    for line in (
        f"| {BEST} | 0.50 (0.45 to 0.55) |",
        "| WebP | 112 px, quality 20 | 84.00% | 1100 | 1400 | 1800 |",
        "| an image posted over HTTP/1.1, with its answer | 48 | 63 |",
        "| images of flowers/val, on which all numbers are measured | 3,000 |",
    ):
        assert line in page
    again = row(400, 0.83, again=0.3, threshold=0.8) | {"rival": "sent again"}
    again |= {"first": {"codec": "webp", "side": 64, "quality": 4}}
    again |= {"second": {"codec": "avif-slow", "side": 128, "quality": 8}}
    three = row(310, 0.81, quality=2, threshold=0.7, exit_share=0.6, shares=[0.6, 0.25, 0.15])
    page = markdown(tables(found | {"rivals": [*found["rivals"], again], "ours": [*found["ours"], three]}))
    assert "| WebP 64 px, quality 4; then AVIF, slowest 128 px, quality 8 for 30% | 83.00% |" in page
    assert "| Overtone | quality 2, 60% + 25% from low | 81.00% | 310 |" in page
    assert f"| {BEST} |  |  |  |" in markdown(tables(found | {"ratios": []}))


def test_figures_label_every_line_and_every_quality(
    found: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def kept(self: Figure, *args: Any, **options: Any) -> None:
        drawn.append(self)
        save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", kept)
    paths = figure.draw_both(found, tmp_path / "bytes.png")
    assert [path.name for path in paths] == ["bytes.png", "bytes-wire.png"]
    for each, words in zip(
        drawn, ("0.50 times the best baseline's bytes (", "'s bytes on the wire"), strict=True
    ):
        assert {"WebP", "AVIF", "1", "2", "3"} <= {text.get_text() for text in each.axes[0].texts}
        assert each.axes[0].get_xscale() == "log"
        assert words in each.get_suptitle()
    with Image.open(paths[0]) as image:
        # Shown with 800 pixels in a README.
        assert 1000 < image.width <= 1600
    # Where the curves have no range in common there is no number.
    figure.draw(found | {"ratios": []}, figure.PAYLOAD, tmp_path / "bytes.png")


def test_a_log_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no such file"):
        report.render_logs(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "bytes-mine.json").write_text("{")
    with pytest.raises(ReportError, match="cannot be read"):
        report.render_logs(tmp_path)


def test_the_kept_page_has_the_tables_of_its_logs() -> None:
    page = DOCS / "bytes.md"
    text = page.read_text("utf-8")
    for log in report.logs(DOCS):
        assert text == pages.filled(page, page_tables(read_log(log), log.stem)), (
            "run overtone bench bytes --logged"
        )
        for name in (f"{log.stem}.png", f"{log.stem}-wire.png"):
            assert f"(images/{name})" in text
            assert (DOCS / "images" / name).is_file()


@pytest.mark.parametrize(("low", "high"), [(100, 8400), (60, 30_000), (150, 900)])
def test_ticks_lie_apart_so_that_their_numbers_do_not_touch(low: float, high: float) -> None:
    ticks = figure._ticks(low, high)
    assert low <= ticks[0] < ticks[-1] <= high
    assert len(ticks) >= 4
    shares = [math.log(after / before) / math.log(high / low) for before, after in pairwise(ticks)]
    assert min(shares) >= figure.TICK_DISTANCE - 1e-9
