"""What AVIF gains by encoding more slowly: `python -m overtone.benchmarks.curve.avif --data DIR`.

`overtone bench bytes` encodes AVIF at speed 6, its encoder's own choice. This prints bytes of slower speeds,
without containers, over those of speed 6 at equal peak signal-to-noise ratio (Bjontegaard's delta rate, as in
`benchmarks.curve.delta_rate`), and the processor time of a picture. Accuracy is not measured: so small a gain
would be lost in what chance does to as many pictures as one would wait for.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from overtone.benchmarks.curve.containers import bare_avif
from overtone.benchmarks.curve.delta_rate import Point, compare
from overtone.benchmarks.curve.rivals import QUALITIES
from overtone.benchmarks.pictures import NoPicturesError, gather
from overtone.frequency import fit, open_rgb
from overtone.training.progress import tracked

SPEEDS = (6, 4, 2)
SIDES = (112, 224)

Pixels = NDArray[np.uint8]


def curve(pictures: Sequence[Pixels], speed: int) -> tuple[list[Point], float]:
    """Mean bytes and PSNR (in dB) by quality, and processor time of a picture in milliseconds."""
    began = process_time()
    coded = [[_encode(rgb, quality, speed) for rgb in pictures] for quality in QUALITIES["avif"]]
    spent = 1e3 * (process_time() - began) / (len(pictures) * len(coded))
    return [_point(pictures, files) for files in coded], spent


def _encode(rgb: Pixels, quality: int, speed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "avif", quality=quality, speed=speed, max_threads=1)
    return file.getvalue()


def _point(pictures: Sequence[Pixels], files: Sequence[bytes]) -> Point:
    psnr = [_psnr(rgb, file) for rgb, file in zip(pictures, files, strict=True)]
    return Point(float(np.mean([bare_avif(file) for file in files])), float(np.mean(psnr)))


def _psnr(rgb: Pixels, file: bytes) -> float:
    with Image.open(io.BytesIO(file)) as read:
        error = np.asarray(read.convert("RGB")).astype(np.float64) - rgb
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def main(
    data: Annotated[Path, typer.Option(envvar="OVERTONE_DATA", help="Folder of pictures.")],
    count: Annotated[int, typer.Option(help="Of so many pictures.")] = 40,
) -> None:
    """Print a line for every side and speed."""
    console = Console()
    try:
        paths = gather(data, count).paths
    except NoPicturesError as error:
        console.print(f"overtone: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    table = Table(
        "pixels", "speed", "bytes at equal PSNR", "ms a picture", title=f"AVIF, {len(paths)} pictures"
    )
    for side in SIDES:
        pictures = [fit(open_rgb(path), side) for path in paths]
        found = {speed: curve(pictures, speed) for speed in tracked(SPEEDS, f"{side} pixels")}
        for speed, (points, spent) in found.items():
            ratio = compare(points, found[SPEEDS[0]][0]).ratio
            table.add_row(str(side), str(speed), f"{ratio:.3f}", f"{spent:.0f}")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
