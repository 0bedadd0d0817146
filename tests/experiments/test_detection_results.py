"""Tables of detectors are made of what `overtone evaluate` prints, where it has been kept."""

import json
from pathlib import Path
from typing import Any

from experiments.detection_results import NUCLEI, TABLES, TWIN, VOC, tables

DOCS = Path(__file__).parents[2] / "docs"


def entry(ap50: float, sent: float | None, masks: bool = False) -> dict[str, Any]:
    scores = {"ap": ap50 / 2, "ap50": ap50, "ap75": 0.1, "voc50": 0.3}
    sizes = {"ap_small": -1.0, "ap_medium": 0.2, "ap_large": 0.4}
    mask = {"mask_ap": 0.31, "mask_ap50": 0.62} if masks else {"mask_ap": None, "mask_ap50": None}
    return scores | sizes | mask | {"mean_payload_bytes": sent}


def evaluated(quality: int, masks: bool = False) -> dict[str, Any]:
    cascade = entry(0.5, 700, masks)
    cascade |= {"operating_point": "balanced", "escalation_share": 0.6, "block_share": 0.25, "missed": 0.04}
    return {
        "quality": quality,
        "low": entry(0.4, 200, masks),
        "both": entry(0.52, 1500, masks),
        "cascade": cascade,
    }


def rendered(folder: Path) -> dict[str, str]:
    return tables(folder, lambda path: json.loads(path.read_text()))


def written(folder: Path, name: str, document: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(document))


def test_logs_that_are_there_are_rendered(tmp_path: Path) -> None:
    assert rendered(tmp_path) == {}
    found = {"checkpoint": "voc2007", "n": 9, "size": 320} | evaluated(5)
    written(
        tmp_path, VOC, found | {"unquantised": entry(0.6, None), "qualities": [evaluated(5), evaluated(3)]}
    )
    # The comparison needs the twin's log too.
    assert list(rendered(tmp_path)) == ["detect-voc2007"]
    written(tmp_path, TWIN, {"checkpoint": "voc2007-sent", "quality": None, "both": entry(0.63, None)})
    written(tmp_path, NUCLEI, {"checkpoint": "nuclei"} | evaluated(5, masks=True))
    boxes, frequency, masks = rendered(tmp_path).values()
    assert "| **5** | cascade, `balanced` | 700 | 25.0 | 50.0 | 10.0 |  | 20.0 | 40.0 | 60% | 25% |" in boxes
    assert "| 3 | first layer | 200 | 20.0 | 40.0 | 10.0 |  | 20.0 | 40.0 |  |  |" in boxes
    assert "| voc2007-sent | pixels | 31.5 | 63.0 | 10.0 | 30.0 |  |" in frequency
    assert "| voc2007 | coefficients, not quantised | 30.0 | 60.0 | 10.0 | 30.0 |  |" in frequency
    assert "| voc2007 | coefficients, quality 3 | 26.0 | 52.0 | 10.0 | 30.0 | 1500 |" in frequency
    assert "| **5** | all layers | 1500 | 31.0 | 62.0 | 52.0 |  |  |" in masks


def test_the_page_has_a_place_and_the_commands_of_every_table() -> None:
    page = (DOCS / "results.md").read_text("utf-8")
    for name, (logs, _) in TABLES.items():
        assert page.count(f"<!-- {name} -->") == page.count(f"<!-- end of {name} -->") == 1
        for log in logs:
            assert f"--json > docs/runs/{log}" in page
