"""The tables of detectors in docs/results.md, from documents that `overtone evaluate --json` printed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from overtone.benchmarks.markdown import table
from overtone.training.detection.evaluate_detector import COLUMNS

Json = Any

VOC, TWIN, NUCLEI = "detect-voc2007.json", "detect-voc2007-sent.json", "detect-nuclei.json"
BOXES: Final = {key: COLUMNS[key] for key in ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")}
MASKS: Final = {key: COLUMNS[key] for key in ("mask_ap", "mask_ap50")} | {"ap50": "AP50 of boxes"}
SEEN: Final = {key: COLUMNS[key] for key in ("ap", "ap50", "ap75", "voc50")}


def tables(folder: Path, read: Callable[[Path], Json]) -> dict[str, str]:
    """The tables whose logs are in a folder, by name; there may be none."""
    there = {
        name: [folder / log for log in logs]
        for name, (logs, _) in TABLES.items()
        if all((folder / log).exists() for log in logs)
    }
    return {name: TABLES[name][1](*map(read, logs)) for name, logs in there.items()}


def boxes(found: Json) -> str:
    """The first layer, the cascade and all layers at every quality, by COCO's measures of boxes."""
    return _answers(found, BOXES)


def masks(found: Json) -> str:
    """The first layer, the cascade and all layers at every quality, by COCO's measures of masks."""
    return _answers(found, MASKS)


def frequency(found: Json, twin: Json) -> str:
    """The high network on coefficients, from not quantised to the coarsest quality, beside its twin on pixels."""
    rows = [(twin["checkpoint"], "pixels", twin["both"])]
    if exact := found.get("unquantised"):
        rows.append((found["checkpoint"], "coefficients, not quantised", exact))
    for each in sorted(_qualities(found), key=lambda e: -int(e["quality"])):
        rows.append((found["checkpoint"], f"coefficients, quality {each['quality']}", each["both"]))
    lines = [
        (who, what, *(percent(entry[key]) for key in SEEN), sent(entry["mean_payload_bytes"]))
        for who, what, entry in rows
    ]
    return table(("network", "reads", *SEEN.values(), "bytes"), lines, left=2)


def _answers(found: Json, columns: dict[str, str]) -> str:
    rows = []
    for each in sorted(_qualities(found), key=lambda e: int(e["quality"])):
        bold = "**" if each["quality"] == found["quality"] else ""
        for what, entry in _named(each):
            shown = (percent(entry[key]) for key in columns)
            asked = (f"{entry[k]:.0%}" if k in entry else "" for k in ("escalation_share", "block_share"))
            rows.append(
                (f"{bold}{each['quality']}{bold}", what, sent(entry["mean_payload_bytes"]), *shown, *asked)
            )
    head = "quality", "answer", "bytes", *columns.values(), "asked for more", "blocks"
    return table(head, rows, left=2)


def _qualities(found: Json) -> list[Json]:
    """The entries of all qualities; with a single one the document itself is the entry."""
    qualities: list[Json] = found.get("qualities", [found])
    return qualities


def _named(row: Json) -> Iterator[tuple[str, Json]]:
    yield "first layer", row["low"]
    if cascade := row.get("cascade"):
        yield f"cascade, `{cascade['operating_point']}`", cascade
    yield "all layers", row["both"]


def percent(value: float | None) -> str:
    """An average precision in percent; COCO has -1 where there are no objects."""
    return "" if value is None or value < 0 else f"{100 * value:.1f}"


def sent(value: float | None) -> str:
    """Mean bytes for a table, or nothing if none were counted."""
    return "" if value is None else f"{value:.0f}"


# Table -> logs in docs/runs, and how it is rendered.
TABLES: dict[str, tuple[tuple[str, ...], Callable[..., str]]] = {
    "detect-voc2007": ((VOC,), boxes),
    "detect-frequency": ((VOC, TWIN), frequency),
    "detect-nuclei": ((NUCLEI,), masks),
}
