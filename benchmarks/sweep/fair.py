"""Which WebP is as accurate as Overtone, before an equally dear network? `python -m overtone.benchmarks.sweep.fair`.

The network is the rival of `overtone bench bytes`: as large as ours, and trained on what such pictures look
like. Every side and quality is sent, from the fewest bytes up, on the calibration part of train/; the first
that is right as often as our cascade at its defaults wins, give or take half a point, which is what our own
default quality was allowed when it was chosen. None of these pictures is among those that a sweep sends.
A setting that is far behind on the first pictures is not tried on the rest.
"""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from overtone.benchmarks.load.upload import Codec, Rival
from overtone.benchmarks.pictures import draw
from overtone.benchmarks.sweep.equal import Equal, log_of
from overtone.benchmarks.sweep.judge import BATCH, Judge, Pixels
from overtone.frequency import fit, open_rgb
from overtone.gpu_server.network import open_network
from overtone.training.compression import resized
from overtone.training.data import read_split, split
from overtone.training.progress import tracked
from overtone.training.weights import find_baseline, load

SIDES = (80, 96, 112, 128, 160, 192, 224)
QUALITIES = (5, 10, 20, 30, 40, 55, 75)
# Of top-1, and still equal.
TOLERANCE = 0.005
# A setting this far behind on the first pictures is given up.
FIRST, BEHIND = 200, 0.02
# On which the settings are ordered by bytes.
SAMPLE = 40

# Which of the first so many pictures are right when sent in a way, bool[count], and their mean bytes.
Trial = Callable[[Rival, int], tuple[NDArray[np.bool_], float]]


@dataclass(frozen=True)
class Tried:
    """One setting on `n` calibration pictures: top-1 (a fraction) and mean bytes."""

    rival: Rival
    top1: float
    bytes: float
    n: int


def search(
    candidates: Sequence[Rival], ours: NDArray[np.bool_], trial: Trial, tell: Callable[[Tried], None]
) -> tuple[Tried, bool]:
    """The first candidate right as often as `ours` but for the tolerance, and True; else the best, and False.

    Args:
        candidates: at least one, in order of their bytes.
        ours: which pictures we have right.
        trial: sends pictures.
        tell: hears of each trial.
    """
    best: Tried | None = None
    for rival in candidates:
        for count in sorted({min(FIRST, len(ours)), len(ours)}):
            right, size = trial(rival, count)
            tried = Tried(rival, float(right.mean()), size, count)
            tell(tried)
            if best is None or tried.top1 > best.top1:
                best = tried
            allowed = TOLERANCE if count == len(ours) else BEHIND
            if tried.top1 < ours[:count].mean() - allowed:
                break
        else:
            return tried, True
    assert best is not None
    return best, False


class Sender:
    """Pictures sent in front of the rival's network."""

    def __init__(self, weights: Path, paths: Sequence[Path], targets: NDArray[np.int64]) -> None:
        trained = load(weights)
        self._network, self._size = trained.system, trained.recipe.size
        self._network.module.eval()
        self._paths, self._targets = paths, targets
        self._cropped: dict[int, list[Image.Image]] = {}

    def __call__(self, rival: Rival, count: int) -> tuple[NDArray[np.bool_], float]:
        """See `Trial`."""
        pictures = [self._sent(rival, number) for number in range(count)]
        answers = [self._answers([p for p, _ in pictures[i : i + BATCH]]) for i in range(0, count, BATCH)]
        right = np.concatenate(answers) == self._targets[:count]
        return right, float(np.mean([size for _, size in pictures]))

    def _sent(self, rival: Rival, number: int) -> tuple[Pixels, int]:
        body = rival.compress(self._at(rival.side, number))
        return resized(np.asarray(Image.open(io.BytesIO(body)).convert("RGB")), self._size), len(body)

    def _at(self, side: int, number: int) -> Image.Image:
        """A picture as a device would crop it; each is decoded once a side."""
        known = self._cropped.setdefault(side, [])
        for path in self._paths[len(known) : number + 1]:
            known.append(Image.fromarray(fit(open_rgb(path, side), side)))
        return known[number]

    def _answers(self, pictures: Sequence[Pixels]) -> NDArray[np.int64]:
        x = torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy()).float()
        with torch.inference_mode():
            found: NDArray[np.int64] = self._network.logits(0, x).argmax(1).numpy()
        return found


def main(
    data: Annotated[Path, typer.Option(envvar="OVERTONE_DATA", help="Folder with train/ and val/.")],
    checkpoint: Annotated[str, typer.Option(help="A file, or the name of a bundled one.")] = "imagenette",
    rival: Annotated[
        str, typer.Option(help="A network of `overtone train rival`, or a name.")
    ] = "imagenette",
    codec: Annotated[str, typer.Option(help="webp or jpeg.")] = "webp",
    count: Annotated[int | None, typer.Option(help="At most so many pictures.")] = None,
) -> None:
    """Print what was tried and the choice, and keep it where a sweep looks for it."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        found = find(data, checkpoint, rival, cast(Codec, codec), count, console)
    except (ValueError, OSError) as error:
        console.print(f"overtone: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    path = log_of(Path(checkpoint).stem)
    path.write_text(json.dumps(found.document(), indent=1) + "\n", "utf-8")
    end = "" if found.reached else "; none is as accurate, this is the most accurate"
    console.print(f"equal accuracy: {found.rival}{end}\nwrote {path}")


def find(data: Path, checkpoint: str, rival: str, codec: Codec, count: int | None, console: Console) -> Equal:
    """Try everything.

    Raises:
        ValueError: no such checkpoint, rival, codec or data.
    """
    weights = find_baseline(rival)
    rivals = [Rival(codec, side, quality) for side in SIDES for quality in QUALITIES]
    network, card = open_network(checkpoint)
    held = split(read_split(data, "train", card.classes, card.profile.labels))[1]
    known = dict(zip(held.paths, held.targets, strict=True))
    paths = draw(held.paths, count)
    targets = np.array([known[path] for path in paths])
    size = card.profile.size
    fitted = [fit(open_rgb(path, size), size) for path in tracked(paths, "ours")]
    ours = Judge(network, card).answers(fitted) == targets
    console.print(
        f"Overtone      {ours.mean():7.2%} right on {len(paths)} calibration pictures of {data.name}"
    )
    few = [Image.fromarray(picture) for picture in fitted[:SAMPLE]]
    sizes = {each: _mean_bytes(each, few) for each in tracked(rivals, "sizes")}

    def tell(tried: Tried) -> None:
        of = "" if tried.n == len(paths) else f" (of {tried.n})"
        console.print(f"{tried.rival!s:13} {tried.top1:7.2%} right, {tried.bytes:7,.0f} bytes{of}")

    send = Sender(weights, paths, targets)
    found, reached = search(sorted(rivals, key=sizes.__getitem__), ours, send, tell)
    profile = card.profile.id.hex()
    return Equal(profile, len(paths), float(ours.mean()), found.rival, found.top1, found.bytes, reached)


def _mean_bytes(rival: Rival, pictures: Sequence[Image.Image]) -> float:
    small = (picture.resize((rival.side, rival.side)) for picture in pictures)
    return float(np.mean([len(rival.compress(picture)) for picture in small]))


if __name__ == "__main__":
    typer.run(main)
