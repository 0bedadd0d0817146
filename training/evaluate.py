"""What `overtone evaluate` prints: top-1 in the three modes, at counted payload bytes."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models import Card, Cascade, choose_device, find, load
from training.calibrate import Modes, modes
from training.data import Pictures, part, split
from training.predict import predict


def evaluate(
    checkpoint: str,
    data: Path,
    *,
    qualities: Sequence[int] = (),
    every_quality: bool = False,
    threshold: float | None = None,
    operating_point: str | None = None,
    split_name: str = "val",
    as_json: bool = False,
    workers: int = 0,
    device: str = "auto",
) -> None:
    """Top-1 in the three modes and counted payload bytes, for one quality or several."""
    model, card = load(find(checkpoint), choose_device(device))
    pictures = _pictures(card, data, split_name)
    chosen = card.threshold(operating_point) if threshold is None else threshold
    asked = card.profile.qualities if every_quality else qualities or (card.profile.quality,)
    rows = {q: _row(model, card, pictures, q, chosen, workers) for q in asked}
    if as_json:
        _print_json(card, len(pictures), chosen, rows)
    else:
        _print_table(card, f"{data.name}/{split_name}", len(pictures), chosen, rows)


def _pictures(card: Card, data: Path, split_name: str) -> Pictures:
    if split_name == "calibration":
        return split(part(data, "train", card.classes, card.profile.labels))[1]
    return part(data, split_name, card.classes, card.profile.labels)


Row = tuple[Modes, float, float]


def _row(model: Cascade, card: Card, pictures: Pictures, quality: int, threshold: float, workers: int) -> Row:
    found = predict(model, pictures, card.profile, quality, workers)
    return (
        modes(found, card.temperature, threshold),
        float(found.low_bytes.mean()),
        float(found.high_bytes.mean()),
    )


def _print_json(card: Card, n: int, threshold: float, rows: dict[int, Row]) -> None:
    def entry(quality: int) -> dict[str, object]:
        found, low_bytes, high_bytes = rows[quality]
        return {
            "quality": quality,
            "low": {"top1": found.low, "mean_payload_bytes": low_bytes},
            "both": {"top1": found.both, "mean_payload_bytes": low_bytes + high_bytes},
            "cascade": {
                "top1": found.cascade,
                "exit_share": found.exit_share,
                "mean_payload_bytes": found.mean_bytes,
            },
        }

    first = next(iter(rows))
    head = {"checkpoint": card.name, "n": n, "size": card.profile.size, "threshold": threshold}
    more = {"qualities": [entry(q) for q in rows]} if len(rows) > 1 else {}
    print(json.dumps(head | entry(first) | {"cost": _costs(card)} | more))


def _costs(card: Card) -> dict[str, int]:
    """The card's cost as plain numbers."""
    return {str(k): int(v) for k, v in card.cost.model_dump().items()}


def _print_table(card: Card, name: str, n: int, threshold: float, rows: dict[int, Row]) -> None:
    title = f"{card.name} on {name}: {n} pictures, {card.profile.size} px, threshold {threshold:.3f}"
    table = Table(title=title, caption="bytes are mean payload bytes per picture, as encoded")
    for column in ("quality", "step", "low", "bytes", "both", "bytes", "cascade", "bytes", "answered low"):
        table.add_column(column, justify="right")
    for quality, (found, low_bytes, high_bytes) in rows.items():
        table.add_row(
            str(quality),
            str(int(card.profile.low_steps(quality)[0])),
            f"{found.low:.2%}",
            f"{low_bytes:.0f}",
            f"{found.both:.2%}",
            f"{low_bytes + high_bytes:.0f}",
            f"{found.cascade:.2%}",
            f"{found.mean_bytes:.0f}",
            f"{found.exit_share:.1%}",
        )
    Console().print(table)
