"""Does it pay to take coefficients from a JPEG's own DCT? `python -m overtone.benchmarks.codec.straight --data DIR`.

Two questions, each measured side by side in one run: processor time, the least of all rounds, as ratios over
today's path (decode all pixels, `fit`, DCT), and how far coefficients, payloads and answers move.

1. A JPEG of the right size, S * 8/7 squared, quality 90, 4:2:0, so that `fit` only crops, and crops at
   blocks. Its DCT can be had without an inverse one (jpeglib, where it is installed). Or it can be decoded at
   half the size: the 24 channels at S are a picture of S/2. But libjpeg-turbo's scaled inverse DCT averages
   pixels (jidctred.c), where libjpeg 7 and later drop frequencies, so that picture is only nearly it.
2. A photograph of 4000 x 3000, which a decoder may shrink by 2, 4 or 8 on the way (Pillow's `draft`), as
   long as it stays `gap` times larger than what `fit` resizes to; `open_rgb` does, with a gap of 2. These are
   enlarged from the folder's pictures, and so are smooth; a mosaic is of many at their own scale, with detail
   to the last pixel.
"""

import importlib
import io
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from overtone.frequency import Profile, coefficients, dct, dequantise, encode_bands, fit, open_rgb, quantise
from overtone.frequency.channels import BLOCK, HIGH, LOW
from overtone.models import Cascade, load
from overtone.training.data import read_split
from overtone.training.progress import tracked

CHANNELS = LOW + HIGH
HALF = BLOCK // 2
SHORT = 8 / 7
JPEG_QUALITY = 90
LARGE = (4000, 3000)
TILE = 224
GAPS = (1.0, 2.0, 3.0)

Maps = NDArray[np.float32]
Route = Callable[[bytes], Maps]


def today(data: bytes, size: int) -> Maps:
    """All pixels, fitted, then the DCT: float32[24, h, w]."""
    return coefficients(fit(open_rgb(data), size), CHANNELS)


def halved(data: bytes, size: int) -> Maps:
    """Decoded at half the size, then a DCT of 4 x 4."""
    with Image.open(io.BytesIO(data)) as opened:
        opened.draft("RGB", (opened.width // 2, opened.height // 2))
        margin = (opened.width - size // 2) // 2
        cropped = opened.crop((margin, margin, margin + size // 2, margin + size // 2)).convert("RGB")
    blocks = np.asarray(cropped).reshape(size // BLOCK, HALF, size // BLOCK, HALF, 3).transpose(0, 2, 1, 3, 4)
    flat = blocks.reshape(size // BLOCK, size // BLOCK, -1).astype(np.float32)
    return np.ascontiguousarray((flat @ _half_analysis().T + _offset()).transpose(2, 0, 1))


def own(data: bytes, size: int, jpeglib: ModuleType, scratch: Path) -> Maps:
    """The JPEG's own coefficients; jpeglib reads files only. A block of 4:2:0 chroma covers four of ours."""
    scratch.write_bytes(data)
    read = jpeglib.read_dct(str(scratch))
    first, count = (read.Y.shape[0] - size // BLOCK) // 2, size // BLOCK
    table = read.qt[read.quant_tbl_no[0]][:HALF, :HALF]
    luma = read.Y[first : first + count, first : first + count, :HALF, :HALF] * table
    planes = [luma]
    for number, chroma in ((1, read.Cb), (2, read.Cr)):
        cut = chroma[first // 2 : (first + count) // 2, first // 2 : (first + count) // 2]
        flat = (cut * read.qt[read.quant_tbl_no[number]]).reshape(count // 2, count // 2, BLOCK**2)
        quarters = (flat @ _chroma_split().T).reshape(count // 2, count // 2, 2, 2, HALF, HALF)
        planes.append(quarters.transpose(0, 2, 1, 3, 4, 5).reshape(count, count, HALF, HALF))
    stacked = np.stack(planes).astype(np.float32)
    return np.stack([stacked[c // 64, :, :, c % 64 // BLOCK, c % BLOCK] for c in CHANNELS])


def drafted(data: bytes, size: int, gap: float) -> Maps:
    """Shrunk by the decoder as far as leaves `gap` times the side that `fit` resizes to, then as today."""
    with Image.open(io.BytesIO(data)) as opened:
        scale = gap * round(size * SHORT) / min(opened.size)
        opened.draft("RGB", (round(opened.width * scale), round(opened.height * scale)))
        return coefficients(fit(open_rgb(opened), size), CHANNELS)


@cache
def _half_analysis() -> Maps:
    """float32[24, 48]: an RGB block of 4 x 4 to the channels of the 8 x 8 block it is half the size of."""
    d = dct.dct_matrix(HALF)
    planes = 2 * np.einsum("vy,ux,kc->kvuyxc", d, d, dct.RGB_TO_YCC).reshape(3, HALF, HALF, -1)
    return np.stack([planes[c // 64, c % 64 // BLOCK, c % BLOCK] for c in CHANNELS]).astype(np.float32)


@cache
def _offset() -> Maps:
    return np.array([-dct.LEVEL_SHIFT * BLOCK * (c == 0) for c in CHANNELS], dtype=np.float32)


@cache
def _chroma_split() -> Maps:
    """float32[64, 64]: a block of half-size chroma to the low 4 x 4 coefficients of the 2 x 2 it covers."""
    d, h = dct.dct_matrix(), dct.dct_matrix(HALF)
    # One axis: back to 8 pixels, in two halves, each to 4 frequencies, sqrt(2) times as large.
    axis = np.sqrt(2) * np.concatenate([h @ d.T[:HALF], h @ d.T[HALF:]]).reshape(2, HALF, BLOCK)
    both: Maps = np.einsum("avp,buq->abvupq", axis, axis).reshape(BLOCK**2, BLOCK**2).astype(np.float32)
    return both


@dataclass(frozen=True)
class Found:
    """What a route gives for n pictures, and the milliseconds it takes for one."""

    milliseconds: float
    maps: Maps
    symbols: NDArray[np.int16]
    payload_bytes: tuple[float, float]
    answers: tuple[NDArray[np.int64], NDArray[np.int64]]


def measure(
    jpegs: Sequence[bytes], routes: Mapping[str, Route], checkpoint: tuple[Cascade, Profile], rounds: int
) -> dict[str, Found]:
    """All routes of all JPEGs, in turn."""
    maps: dict[str, list[Maps]] = {name: [] for name in routes}
    seconds = dict.fromkeys(routes, 0.0)
    for data in tracked(jpegs, "JPEGs"):
        runs = [{name: _timed(route, data) for name, route in routes.items()} for _ in range(rounds)]
        for name in routes:
            seconds[name] += min(run[name][0] for run in runs)
            maps[name].append(runs[0][name][1])
    mean = {name: 1e3 * spent / len(jpegs) for name, spent in seconds.items()}
    return {name: _found(mean[name], np.stack(maps[name]), *checkpoint) for name in routes}


def _timed(route: Route, data: bytes) -> tuple[float, Maps]:
    begun = time.process_time()
    values = route(data)
    return time.process_time() - begun, values


@torch.inference_mode()
def _found(milliseconds: float, maps: Maps, model: Cascade, profile: Profile) -> Found:
    quality, split = profile.quality, len(LOW)
    steps = np.concatenate([profile.low_steps(quality), profile.high_steps(quality)])
    symbols = np.stack([quantise(m, steps, profile.threshold(quality)) for m in maps])
    sent = [encode_bands(q[:split], q[split:], profile, quality) for q in symbols]
    heard = torch.from_numpy(np.stack([dequantise(q, steps) for q in symbols]))
    low, state = model.low(heard[:, :split])
    both = model.answer(low, model.high(state, heard[:, split:]))
    size = float(np.mean([len(s.low) for s in sent])), float(np.mean([len(s.low + s.high) for s in sent]))
    return Found(milliseconds, maps, symbols, size, (low.argmax(1).numpy(), both.argmax(1).numpy()))


def report(title: str, found: Mapping[str, Found], targets: NDArray[np.int64] | None) -> Table:
    """Every route beside the first: time, how far its coefficients are off, bytes, and answers."""
    first = next(iter(found.values()))
    table = Table("", "ms", "of it", "off by", "symbols", "low", "both", "low same", "both same", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    if targets is not None:
        table.add_column("top-1 low / both", justify="right")
    for name, f in found.items():
        off = float(np.sqrt(np.mean((f.maps - first.maps) ** 2)))
        changed = float(np.mean(f.symbols != first.symbols))
        same = [f"{np.mean(x == y):.1%}" for x, y in zip(f.answers, first.answers, strict=True)]
        sizes = [f"{n:,.1f}" for n in f.payload_bytes]
        cells = [f"{f.milliseconds:.2f}", f"{f.milliseconds / first.milliseconds:.2f}", f"{off:.2f}"]
        cells += [f"{changed:.2%}", *sizes, *same]
        if targets is not None:
            cells.append(" / ".join(f"{np.mean(x == targets):.1%}" for x in f.answers))
        table.add_row(name, *cells)
    return table


def as_jpeg(picture: Image.Image) -> bytes:
    """A baseline JPEG of quality 90 with 4:2:0 chroma."""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
    return out.getvalue()


def enlarged(picture: Image.Image) -> Image.Image:
    """The middle of a picture as a camera of 12 megapixels would give it, but smooth."""
    width, height = picture.size
    tall = min(height, width * LARGE[1] / LARGE[0])
    wide = tall * LARGE[0] / LARGE[1]
    left, top = (width - wide) / 2, (height - tall) / 2
    box = (left, top, left + wide, top + tall)
    return picture.resize(LARGE, Image.Resampling.BICUBIC, box=box)


def mosaic(pictures: Sequence[Image.Image], seed: int) -> Image.Image:
    """Twelve megapixels of pictures at their own scale, drawn with repetition."""
    rng, whole = np.random.default_rng(seed), Image.new("RGB", LARGE)
    for top in range(0, LARGE[1], TILE):
        for left in range(0, LARGE[0], TILE):
            whole.paste(Image.fromarray(fit(pictures[int(rng.integers(len(pictures)))], TILE)), (left, top))
    return whole


def _straight_routes(size: int, scratch: Path) -> dict[str, Route]:
    routes: dict[str, Route] = {
        "today": partial(today, size=size),
        "half-size decode": partial(halved, size=size),
    }
    try:
        jpeglib = importlib.import_module("jpeglib")
    except ImportError:
        return routes
    return routes | {"jpeglib": partial(own, size=size, jpeglib=jpeglib, scratch=scratch)}


def main(
    data: Annotated[Path, typer.Option(envvar="OVERTONE_DATA", help="Folder with train/ and val/.")],
    model: Annotated[str, typer.Option(help="Checkpoint whose answers are compared.")] = "imagenette",
    count: Annotated[int, typer.Option(help="JPEGs of the right size.")] = 200,
    large: Annotated[int, typer.Option(help="JPEGs of 4000 x 3000; as many mosaics, but four at most.")] = 24,
    rounds: Annotated[int, typer.Option(help="Times each is run.")] = 5,
) -> None:
    """Print times, coefficients, bytes and answers of each way to the coefficients of a JPEG."""
    console = Console()
    network, card = load(model)
    checkpoint, size = (network, card.profile), card.profile.size
    pictures = read_split(data, "val", card.classes, card.profile.labels)
    chosen = np.random.default_rng(0).permutation(len(pictures))[: max(count, large)].tolist()
    shots = [open_rgb(pictures.paths[i]) for i in chosen]
    targets = np.array([pictures.targets[i] for i in chosen])

    side = round(size * SHORT)
    jpegs = [as_jpeg(s.resize((side, side))) for s in shots[:count]]
    with tempfile.TemporaryDirectory() as folder:
        routes = _straight_routes(size, Path(folder) / "one.jpg")
        found = measure(jpegs, routes, checkpoint, rounds)
    console.print(report(f"{count} JPEGs of {side} x {side}", found, targets[:count]))
    if "jpeglib" not in routes:
        console.print("jpeglib is not installed, so its row is missing: pip install jpeglib")

    routes = {"today": partial(today, size=size)}
    routes |= {f"draft, gap {gap:g}": partial(drafted, size=size, gap=gap) for gap in GAPS}
    jpegs = [as_jpeg(enlarged(shot)) for shot in tracked(shots[:large], "enlarging")]
    found = measure(jpegs, routes, checkpoint, min(rounds, 3))
    console.print(report(f"{large} JPEGs of 4000 x 3000, enlarged", found, targets[:large]))
    jpegs = [as_jpeg(mosaic(shots, seed)) for seed in range(min(large, 4))]
    found = measure(jpegs, routes, checkpoint, min(rounds, 3))
    console.print(report(f"{len(jpegs)} mosaics of 4000 x 3000", found, None))


if __name__ == "__main__":
    typer.run(main)
