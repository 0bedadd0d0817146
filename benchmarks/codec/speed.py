"""The codec's speed beside Pillow's WebP: `python -m overtone.benchmarks.codec.speed`.

Encoding is from an RGB array to all payloads of a checkpoint's profile, decoding from each payload back to quantised
coefficients; WebP is written from the same image, and from it at half the side, which has the content of the 24
channels. All are run in turn, so that other load on the machine affects them alike; times are processor time, the
least of all rounds, and ratios are over WebP at method 4 of the whole image.
"""

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from overtone import models
from overtone.frequency import Decoded, Profile, coder, coefficients, decode, encode, fit, open_rgb

WHOLE = "WebP, method 4"
SAMPLES = ("astronaut", "coffee", "rocket", "chelsea")
Task = Callable[[], object]


def images(folder: Path | None, count: int = 4) -> list[Image.Image]:
    """So many images of a folder, or those that come with scikit-image."""
    if folder is not None:
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
        return [open_rgb(path) for path in paths[:: max(1, len(paths) // count)][:count]]
    from skimage import data

    return [open_rgb(getattr(data, name)()) for name in SAMPLES]


def tasks(rgb: NDArray[np.uint8], profile: Profile, quality: int) -> dict[str, Task]:
    """The functions that are timed for one image uint8[S, S, 3], by name."""
    half = Image.fromarray(rgb).resize((profile.size // 2,) * 2, Image.Resampling.BICUBIC)
    sent = encode(rgb, profile, quality).layers
    known = [None, *(decode(sent[:count], profile) for count in range(1, len(sent)))]

    def webp(picture: Image.Image, method: int) -> None:
        picture.save(io.BytesIO(), "WEBP", quality=75, method=method)

    found: dict[str, Task] = {
        WHOLE: lambda: webp(Image.fromarray(rgb), 4),
        "WebP, method 4, half the side": lambda: webp(half, 4),
        "DCT alone": lambda: coefficients(rgb, profile.low + profile.high),
    }
    for name, in_c in (("C", True), ("twin", False))[not coder.accelerated :]:
        found[f"encode, {name}"] = _with(in_c, lambda: encode(rgb, profile, quality))
        for layer, below in enumerate(known):
            task = _decoding(sent[layer], profile, below)
            found[f"decode layer {layer + 1}, {name}"] = _with(in_c, task)
    return found


def _decoding(payload: bytes, profile: Profile, below: Decoded | None) -> Task:
    return lambda: decode([payload], profile, below)


def _with(in_c: bool, task: Task) -> Task:
    def run() -> None:
        was, coder.accelerated = coder.accelerated, in_c
        try:
            task()
        finally:
            coder.accelerated = was

    return run


def least(work: dict[str, Task], rounds: int) -> dict[str, float]:
    """Seconds of processor time by name, the least of all rounds."""
    found = dict.fromkeys(work, float("inf"))
    for _ in range(rounds):
        for name, task in work.items():
            begun = time.process_time()
            task()
            found[name] = min(found[name], time.process_time() - begun)
    return found


def main(
    folder: Annotated[Path | None, typer.Option(help="Of images; without it, those of scikit-image.")] = None,
    checkpoint: Annotated[str, typer.Option(help="Whose profile is used.")] = "imagenette",
    quality: Annotated[list[int] | None, typer.Option(help="Qualities; without any, the default.")] = None,
    rounds: Annotated[int, typer.Option(help="Times each is run.")] = 20,
    twin: Annotated[bool, typer.Option(help="Time numpy, which is slow, where there is C too.")] = False,
) -> None:
    """Print milliseconds per image and ratios over WebP."""
    profile = models.load(checkpoint)[1].profile
    qualities = quality or [profile.quality]
    table = Table("", title=f"per image of {profile.size} pixels, profile of {checkpoint}")
    shots = [fit(image, profile.size) for image in images(folder)]
    times: dict[int, dict[str, float]] = {}
    for number in qualities:
        for heading in (f"quality {number}, ms", "over WebP"):
            table.add_column(heading, justify="right")
        work = [tasks(shot, profile, number) for shot in shots]
        if coder.accelerated and not twin:
            work = [{name: task for name, task in w.items() if not name.endswith("twin")} for w in work]
        each = [least(w, rounds) for w in work]
        times[number] = {name: float(np.mean([e[name] for e in each])) for name in each[0]}
    for name in times[qualities[0]]:
        cells = []
        for found in times.values():
            cells += [f"{1e3 * found[name]:.2f}", f"{found[name] / found[WHOLE]:.2f}"]
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
