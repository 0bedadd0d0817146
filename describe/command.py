"""The command `overtone describe`: measure an image, draw it and print a table."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from overtone import command
from overtone.describe.description import Description, ImageDescription, describe_image
from overtone.frequency import Profile, open_rgb

if TYPE_CHECKING:
    from overtone.models import Card

COLOURS = {"low": "blue", "high": "dark_orange3"}


def run(
    path: Path,
    model: str = "photographs",
    *,
    quality: int | None = None,
    every_quality: bool = False,
    out: Path | None = None,
    as_json: bool = False,
) -> None:
    """Measure, draw and print.

    Args:
        path: an image file.
        model: a .safetensors file, or the name of a bundled one; only its profile is used.
        quality: of the profile; None is its default.
        every_quality: all of them, side by side.
        out: the PNG; `IMAGE.describe.png` in the current folder if None.
        as_json: print one JSON object and nothing else.

    Raises:
        ValueError: an image, model, quality or output file that cannot be used.
    """
    _check_source(path)
    # Imported after the first check, because torch comes with them and takes seconds.
    from overtone.describe.figure import draw
    from overtone.models import read_card

    card = read_card(model)
    target = _target(path, out)
    found = describe_image(open_rgb(path), card.profile, _qualities(card.profile, quality, every_quality))
    overwritten = target.exists()
    draw(_title(path, card, found), found, target)
    if as_json:
        print(json.dumps(_document(path, card, found, target), ensure_ascii=False))
        return
    console = command.console()
    console.print(_title(path, card, found), style="bold", highlight=False, markup=False)
    console.print(_stages(found))
    one = len(found.descriptions) == 1
    console.print(_details(found.descriptions[0]) if one else _grid(found.descriptions))
    written = f"{target}{' (overwritten)' if overwritten else ''}"
    console.print(written, highlight=False, markup=False, soft_wrap=True)


def _check_source(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"{path}: a folder; give one image")
    if not path.exists():
        raise ValueError(f"{path}: no such file")


def _target(path: Path, out: Path | None) -> Path:
    target = out or Path(f"{path.stem}.describe.png")
    if target.suffix.lower() != ".png":
        raise ValueError(f"{target}: --out is a PNG; give it a name that ends in .png")
    if not target.parent.is_dir():
        raise ValueError(f"{target.parent}: no such folder; make it first")
    if target.exists() and target.samefile(path):
        raise ValueError(f"{target}: is the image itself; give --out another name")
    return target


def _qualities(profile: Profile, quality: int | None, every: bool) -> tuple[int, ...]:
    if every and quality is not None:
        raise ValueError("give --quality or --every-quality, not both")
    if every:
        return profile.qualities
    chosen = profile.quality if quality is None else quality
    profile.index(chosen)
    return (chosen,)


def _title(path: Path, card: "Card", found: ImageDescription) -> str:
    quality = f", quality {found.descriptions[0].quality}" if len(found.descriptions) == 1 else ""
    return f"{path.name} as the server sees it: {card.name}, {card.profile.size} pixels{quality}"


def _document(path: Path, card: "Card", found: ImageDescription, target: Path) -> dict[str, Any]:
    return {
        "path": str(path),
        "model": card.name,
        "profile": card.profile.id.hex(),
        "size": card.profile.size,
        "jpeg_bytes": dict(zip(("low", "both", "original"), found.jpeg_bytes, strict=True)),
        "out": str(target),
        "qualities": [description.document() for description in found.descriptions],
    }


def _table(*columns: str, left: int) -> Table:
    table = Table(*columns)
    for column in table.columns[left:]:
        column.justify = "right"
    return table


def _stages(found: ImageDescription) -> Table:
    """Payload bytes after each layer at each quality, and the bytes of JPEGs of the same content."""
    side, first = len(found.original), found.descriptions[0]
    table = _table("", *first.names, "original", left=1)
    for each in found.descriptions:
        table.add_row(f"payload bytes, quality {each.quality}", *(f"{n:,}" for n in each.payload_bytes), "")
    sides = side // 4, side // 2, side
    quarter, half, full = (f"{n:,} ({s} px)" for n, s in zip(found.jpeg_bytes, sides, strict=True))
    same = [""] * len(first.layers)
    # Before high is known there is what a quarter of the side holds, and after all layers what half of it does.
    same[next(i for i, layer in enumerate(first.layers) if layer.band == "high") - 1] = quarter
    same[-1] = half
    table.add_row("a JPEG of the same content", *same, full)
    return table


def _details(found: Description) -> Table:
    """One description channel by channel, and the overhead that completes each payload."""
    several = [layer.name for layer in found.layers] if len(found.layers) > len(COLOURS) else []
    head = "channel", "band", "step", "energy", "lost", "not zero", *several, "bits", "bytes"
    table = _table(*head, left=2)
    for c in found.channels:
        name, band = (f"[{COLOURS[c.band]}]{text}" for text in (c.label, c.band))
        numbers = f"{c.step:g}", f"{c.energy:,.1f}", f"{c.lost:,.1f}", f"{c.values:,}"
        each = (f"{bits:,.1f}" if bits else "" for bits in c.layer_bits[: len(several)])
        table.add_row(name, band, *numbers, *each, f"{c.bits:,.1f}", f"{c.bits / 8:,.1f}")
    for payload in found.layers:
        table.add_section()
        rows = {
            "header": 8.0 * payload.header_bytes,
            "coder's final state": payload.end_bits,
            "[bold]payload": 8.0 * payload.payload_bytes,
        }
        for name, bits in rows.items():
            bold = "[bold]" if "[bold]" in name else ""
            empty = [""] * (4 + len(several))
            table.add_row(name, payload.name, *empty, f"{bold}{bits:,.1f}", f"{bold}{bits / 8:,.1f}")
    return table


def _grid(descriptions: tuple[Description, ...]) -> Table:
    """Bits of each channel, one column for each quality; the overhead is header and final state."""
    table = _table("bits", "band", *(f"quality {found.quality}" for found in descriptions), left=2)
    for each in zip(*(found.channels for found in descriptions), strict=True):
        name, band = (f"[{COLOURS[each[0].band]}]{text}" for text in (each[0].label, each[0].band))
        table.add_row(name, band, *(f"{c.bits:,.0f}" for c in each))
    for payloads in zip(*(found.layers for found in descriptions), strict=True):
        table.add_section()
        name = payloads[0].name
        table.add_row("overhead", name, *(f"{8 * p.header_bytes + p.end_bits:,.0f}" for p in payloads))
        table.add_row("[bold]payload", name, *(f"[bold]{8 * p.payload_bytes:,}" for p in payloads))
    return table
