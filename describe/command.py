"""The command `overtone describe`: one picture as the server sees it, and what every channel of it costs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from overtone.benchmarks.codec.description import Description, Portrait, portray
from overtone.frequency import Profile, open_rgb

if TYPE_CHECKING:
    from overtone.models import Card

COLOURS = {"low": "blue", "high": "dark_orange3"}
# Of tables that go to a file or a pipe, which has no width of its own.
PLAIN_WIDTH = 110


def run(
    picture: Path,
    model: str = "imagenette",
    *,
    quality: int | None = None,
    every_quality: bool = False,
    out: Path | None = None,
    as_json: bool = False,
) -> None:
    """Measure, draw and print.

    Args:
        picture: an image file.
        model: a .safetensors file, or the name of a bundled one; its profile is used, its network is not.
        quality: of the profile; its default without one.
        every_quality: all of them, side by side.
        out: the PNG; `PICTURE.describe.png` in the current folder without one.
        as_json: print one JSON object and nothing else.

    Raises:
        ValueError: a picture, model, quality or place to write that cannot be used.
    """
    _look(picture)
    # Behind the first look: a misspelt name need not wait for torch.
    from overtone.benchmarks.codec.draw_description import draw
    from overtone.models import read_card

    card = read_card(model)
    target = _target(picture, out)
    portrait = portray(open_rgb(picture), card.profile, _qualities(card.profile, quality, every_quality))
    there = target.exists()
    draw(_title(picture, card, portrait), portrait, target)
    if as_json:
        print(json.dumps(_document(picture, card, portrait, target), ensure_ascii=False))
        return
    console = Console()
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    _show(console, _title(picture, card, portrait), portrait)
    written = f"{target}{' (written over)' if there else ''}"
    console.print(written, highlight=False, markup=False, soft_wrap=True)


def _look(picture: Path) -> None:
    if picture.is_dir():
        raise ValueError(f"{picture}: a folder; give one picture")
    if not picture.exists():
        raise ValueError(f"{picture}: no such file")


def _target(picture: Path, out: Path | None) -> Path:
    target = out or Path(f"{picture.stem}.describe.png")
    if target.suffix.lower() != ".png":
        raise ValueError(f"{target}: --out is a PNG; give it a name that ends in .png")
    if not target.parent.is_dir():
        raise ValueError(f"{target.parent}: no such folder; make it first")
    if target.exists() and picture.exists() and target.samefile(picture):
        raise ValueError(f"{target}: is the picture itself; give --out another name")
    return target


def _qualities(profile: Profile, quality: int | None, every: bool) -> tuple[int, ...]:
    if every and quality is not None:
        raise ValueError("give --quality or --every-quality, not both")
    if every:
        return profile.qualities
    chosen = profile.quality if quality is None else quality
    profile.index(chosen)
    return (chosen,)


def _title(picture: Path, card: "Card", portrait: Portrait) -> str:
    quality = f", quality {portrait.descriptions[0].quality}" if len(portrait.descriptions) == 1 else ""
    return f"{picture.name} as the server sees it: {card.name}, {card.profile.size} pixels{quality}"


def _document(picture: Path, card: "Card", portrait: Portrait, target: Path) -> dict[str, Any]:
    return {
        "path": str(picture),
        "model": card.name,
        "profile": card.profile.id.hex(),
        "size": card.profile.size,
        "jpeg_bytes": dict(zip(("low", "both", "original"), portrait.jpeg_bytes, strict=True)),
        "out": str(target),
        "qualities": [found.document() for found in portrait.descriptions],
    }


def _show(console: Console, title: str, portrait: Portrait) -> None:
    console.print(title, style="bold", highlight=False, markup=False)
    console.print(_stages(portrait))
    one = len(portrait.descriptions) == 1
    console.print(_details(portrait.descriptions[0]) if one else _grid(portrait.descriptions))


def _stages(portrait: Portrait) -> Table:
    """Payload bytes of each quality, and of the JPEGs that hold as much."""
    side, (quarter, half, full) = len(portrait.original), portrait.jpeg_bytes
    table = Table("", "from low", "low + high", "original")
    for column in table.columns[1:]:
        column.justify = "right"
    for found in portrait.descriptions:
        table.add_row(f"payload bytes, quality {found.quality}", *(f"{n:,}" for n in found.payload_bytes), "")
    sides = side // 4, side // 2, side
    jpegs = (f"{n:,} ({s} px)" for n, s in zip((quarter, half, full), sides, strict=True))
    table.add_row("a JPEG that holds as much", *jpegs)
    return table


def _details(found: Description) -> Table:
    """All that is known of each channel, and what sums its bits up to the payloads."""
    table = Table("channel", "band", "step", "energy", "lost", "not zero", "bits", "bytes")
    for column in table.columns[2:]:
        column.justify = "right"
    for c in found.channels:
        name, band = (f"[{COLOURS[c.band]}]{text}" for text in (c.label, c.band))
        numbers = f"{c.step:g}", f"{c.energy:,.1f}", f"{c.lost:,.1f}", f"{c.values:,}", f"{c.bits:,.1f}"
        table.add_row(name, band, *numbers, f"{c.bits / 8:,.1f}")
    for band, part in (("low", found.low), ("high", found.high)):
        table.add_section()
        empty = [""] * 4
        table.add_row("header", band, *empty, f"{8 * part.header_bytes:,.1f}", f"{part.header_bytes:,.1f}")
        table.add_row("coder's end", band, *empty, f"{part.end_bits:,.1f}", f"{part.end_bits / 8:,.1f}")
        whole = 8 * part.payload_bytes
        table.add_row("[bold]payload", band, *empty, f"[bold]{whole:,.1f}", f"[bold]{whole / 8:,.1f}")
    return table


def _grid(descriptions: tuple[Description, ...]) -> Table:
    """Bits of each channel, a column for each quality; around them are the header and the coder's end."""
    table = Table("bits", "band", *(f"quality {found.quality}" for found in descriptions))
    for column in table.columns[2:]:
        column.justify = "right"
    for each in zip(*(found.channels for found in descriptions), strict=True):
        name, band = (f"[{COLOURS[each[0].band]}]{text}" for text in (each[0].label, each[0].band))
        table.add_row(name, band, *(f"{c.bits:,.0f}" for c in each))
    for band, parts in (("low", [d.low for d in descriptions]), ("high", [d.high for d in descriptions])):
        table.add_section()
        rest = (f"{8 * part.header_bytes + part.end_bits:,.0f}" for part in parts)
        table.add_row("around them", band, *rest)
        table.add_row("[bold]payload", band, *(f"[bold]{8 * part.payload_bytes:,}" for part in parts))
    return table
