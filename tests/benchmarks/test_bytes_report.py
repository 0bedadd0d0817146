"""Tables, the page and figures are made of a document alone; the page that is kept is what its log says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from overtone.benchmarks.curve import figure as bytes_figure
from overtone.benchmarks.curve import report as bytes_report
from overtone.benchmarks.curve.report import ReportError, markdown, render, render_logged
from overtone.benchmarks.curve.verdict import BEST

DOCS = Path(__file__).parents[2] / "docs"


def row(size: float, top1: float, **settings: object) -> dict[str, Any]:
    return {"bytes": size, "top1": top1, "wire": size + 300, "post": size + 700, "bare": size - 20} | settings


@pytest.fixture
def found() -> dict[str, Any]:
    """A document as `overtone bench bytes` writes it."""
    ours = [row(300, 0.80), row(500, 0.85), row(900, 0.86)]
    rivals = [
        {"rival": name} | row(size * f, top1, side=112, quality=20)
        for name, f in (("WebP", 1.0), ("AVIF", 1.2))
        for size, top1 in ((600, 0.78), (1100, 0.84), (2000, 0.87))
    ]
    ratio = {"ratio": 0.5, "lower": 0.45, "upper": 0.55, "from_top1": 0.8, "to_top1": 0.86}
    return {
        "checkpoint": "flowers",
        "rival": "rival",
        "rival_size": 124,
        "data": "flowers/val",
        "n": 3000,
        "calibrated_on": 900,
        "ratio": 0.5,
        "interval": [0.45, 0.55],
        "ratios": [{"rival": BEST, "measure": m} | ratio for m in ("payload", "wire", "post", "bare")],
        "ours": [r | {"quality": q, "threshold": 0.7, "exit_share": 0.8} for q, r in enumerate(ours, 1)],
        "rivals": rivals,
        "overhead": {name: {"up": 48.0, "down": 63.0} for name in ("image", "high", "post")},
        "macs": dict.fromkeys(("rival", "ours", "ours_low", "ours_both"), 3.2e8),
    }


def test_markdown_has_the_number_its_range_and_every_rival(found: dict[str, Any]) -> None:
    page = markdown(found)
    assert "0.50 times the bytes of the best rival (95 % interval 0.45 to 0.55)" in page
    assert "from 80.0% to 86.0%" in page
    assert "| WebP | 112 px, quality 20 | 84.00% | 1100 | 1400 | 1800 | 1080 |" in page
    assert "| a picture posted over HTTP/1.1, with its answer | 48 | 63 |" in page


def test_where_curves_do_not_meet_it_says_so(found: dict[str, Any], tmp_path: Path) -> None:
    alone = found | {"ratios": [], "ratio": None, "interval": None}
    assert "there is no ratio" in markdown(alone)
    bytes_figure.draw(alone, bytes_figure.PAYLOAD, tmp_path / "bytes.png")


def test_figures_label_every_line_and_every_quality(
    found: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def kept(self: Figure, *args: Any, **options: Any) -> None:
        drawn.append(self)
        save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", kept)
    paths = bytes_figure.draw_both(found, tmp_path / "bytes.png")
    assert [path.name for path in paths] == ["bytes.png", "bytes-wire.png"]
    for figure, words in zip(drawn, ("0.50 times the bytes of", "bytes on the wire"), strict=True):
        assert {"WebP", "AVIF", "1", "2", "3"} <= {text.get_text() for text in figure.axes[0].texts}
        assert figure.axes[0].get_xscale() == "log"
        assert words in figure.get_suptitle()
    with Image.open(paths[0]) as picture:
        # Read at 800 pixels in a README.
        assert 1000 < picture.width <= 1600


def test_labels_keep_apart_and_stay_inside() -> None:
    assert bytes_figure.spread([0.1, 0.5], 0.05) == [0.1, 0.5]
    crowded = bytes_figure.spread([0.1, 0.97, 0.98, 0.99], 0.05)
    assert crowded == pytest.approx([0.1, 0.9, 0.95, 1.0])
    assert bytes_figure.spread([-0.3, -0.2], 0.05) == pytest.approx([0.0, 0.05])


def test_page_and_figures_are_made_from_the_log(found: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "images").mkdir()
    with pytest.raises(ReportError, match="no such file"):
        render_logged(tmp_path)
    log, template = tmp_path / "runs" / bytes_report.LOGGED, tmp_path / "bytes.template.md"
    log.write_text(json.dumps(found))
    template.write_text((DOCS / "bytes.template.md").read_text("utf-8"))
    page, *figures = render_logged(tmp_path)
    assert "brought to 124 pixels" in page.read_text()
    assert "3,000 pictures" in page.read_text()
    assert not re.search(r"\$[a-z]", page.read_text())
    linked = set(re.findall(r"\(images/([^)]+)\)", page.read_text()))
    assert linked == {figure.name for figure in figures}
    template.write_text("$nothing")
    with pytest.raises(ReportError, match="do not fit"):
        render(tmp_path)
    log.write_text("{")
    with pytest.raises(ReportError, match="cannot be read"):
        render(tmp_path)


@pytest.mark.skipif(
    not (DOCS / "runs" / bytes_report.LOGGED).is_file(),
    reason=f"docs/runs/{bytes_report.LOGGED} is not there yet: overtone bench bytes --data DIR makes it",
)
def test_the_page_kept_is_what_its_log_says() -> None:
    assert (DOCS / "bytes.md").read_text("utf-8") == render(DOCS)
    for name in re.findall(r"\(images/([^)]+)\)", render(DOCS)):
        assert (DOCS / "images" / name).is_file()
