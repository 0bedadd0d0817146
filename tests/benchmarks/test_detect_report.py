"""Tables and figures of detectors are made from a document alone, and there need not be one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from overtone.benchmarks import pages
from overtone.benchmarks.curve.comparison import BEST
from overtone.benchmarks.curve.report import read_log
from overtone.benchmarks.detect import report
from overtone.benchmarks.detect.command import ALL_LAYERS
from overtone.benchmarks.detect.rivals import AGAIN

DOCS = Path(__file__).parents[2] / "docs"


def row(size: float, ap50: float, **settings: object) -> dict[str, Any]:
    return {"bytes": size, "ap50": ap50, "wire": size + 300, "post": size + 700} | settings


@pytest.fixture
def found() -> dict[str, Any]:
    """A document as `overtone bench bytes --task detect` writes it."""
    doubt = {"unsure": 0.1, "sure": 1.1, "margin": 1}
    asked = {"asked": 0.6, "blocks": 0.25}
    again = {"first": {"codec": "jpeg", "side": 128, "quality": 5}} | doubt | asked
    again |= {"second": {"codec": "webp", "side": 320, "quality": 25}}
    ratio = {"ratio": 0.5, "lower": 0.45, "upper": 0.55, "from_ap50": 0.3, "to_ap50": 0.5}
    return {
        "checkpoint": "boxes",
        "rival": "twin",
        "rival_size": 320,
        "data": "voc/val",
        "n": 1254,
        "calibrated_on": 250,
        "parameters": {"rival": 4.2e6, "low": 3.1e6, "high": 4.3e6},
        "ratios": [
            {"rival": rival, "measure": m} | ratio
            for rival in (BEST, ALL_LAYERS)
            for m in ("payload", "wire", "post")
        ],
        "ours": [
            row(200, 0.30, kind="first layer", quality=3, asked=0.0, blocks=0.0),
            row(300, 0.35, kind="first layer", quality=5, asked=0.0, blocks=0.0),
            row(700, 0.45, kind="regions", quality=3) | doubt | asked,
            row(1500, 0.50, kind="all layers", quality=3, asked=0.0, blocks=1.0),
        ],
        "rivals": [
            *({"rival": "WebP"} | row(s, a, side=240, quality=25) for s, a in ((900, 0.3), (2500, 0.5))),
            {"rival": AGAIN} | row(1900, 0.48, **again),
        ],
        "overhead": {name: {"up": 48.0, "down": 63.0} for name in ("image", "high", "post")},
    }


def test_a_log_fills_its_places_in_the_page(
    found: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: drawn.append(self))
    for folder in ("runs", "images"):
        (tmp_path / folder).mkdir()
    page = Path(shutil.copy(DOCS / "bytes.md", tmp_path))
    before = page.read_text()
    assert report.render_logs(tmp_path) == []
    assert page.read_text() == before
    (tmp_path / "runs" / "detect-bytes-voc2007.json").write_text(json.dumps(found))
    written = [path.name for path in report.render_logs(tmp_path)]
    assert written == ["detect-bytes-voc2007.png", "detect-bytes-voc2007-wire.png"]
    text = page.read_text()
    for line in (
        "![AP50 against payload bytes](images/detect-bytes-voc2007.png)",
        "| pictures of voc/val, on which all numbers are measured | 1,254 |",
        f"| {BEST} | 0.50 (0.45 to 0.55) |",
        f"| {ALL_LAYERS} | 0.50 (0.45 to 0.55) |",
        "| Overtone, first layer | quality 5 | 35.00% | 300 | 600 |  |",
        "quality 3, in 25% of the blocks, of 60% (in doubt from 0.1 to 1) | 45.00% | 700 | 1000 |  |",
        "jpeg 128 px, quality 5; then webp 320 px, quality 25 in 25% of the blocks, of 60% (",
        "| WebP | 240 px, quality 25 | 50.00% | 2500 | 2800 | 3200 |",
    ):
        assert line in text
    for each in drawn:
        assert each.axes[0].get_ylabel() == "AP50"
        legend = each.axes[0].get_legend()
        assert legend is not None
        assert [t.get_text() for t in legend.get_texts()] == [
            "first layer",
            "first, then regions",
            "all layers",
        ]
        assert "At equal AP50: 0.50 times" in each.get_suptitle()


def test_the_kept_page_has_the_tables_of_its_logs() -> None:
    for log in report.logs(DOCS):
        filled = pages.filled(DOCS / "bytes.md", report.page_tables(read_log(log), log.stem))
        assert filled == (DOCS / "bytes.md").read_text("utf-8"), "run overtone bench bytes --logged"
