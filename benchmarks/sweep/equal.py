"""Which WebP (or JPEG) is as accurate as the cascade? `python -m benchmarks.sweep.equal --data DIR`.

Compares in front of the same network, on the calibration part of train/, which nothing is trained on and val/
is no part of. A rival's picture is decoded, enlarged to the network's size as a whole, and goes through the
transform and the cascade like any other. Settings are tried from the fewest bytes up; the first that is as
accurate wins, give or take half a point, which is also what our own default quality was allowed. One that is
far behind on the first pictures is not tried on the rest.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from benchmarks.load.upload import Codec, Rival
from benchmarks.pictures import draw
from frequency import Profile, coefficients, encode, fit, open_rgb, quantise
from gpu_server.answer import Stage
from gpu_server.engine import Bands
from gpu_server.network import TorchNetwork, open_network
from models import Card
from training.data import part, split
from training.progress import tracked

SIDES = (96, 112, 128, 160, 224)
QUALITIES = (5, 10, 20, 35, 50, 65, 80, 90)
BATCH = 32
# A setting this far behind on the first pictures is given up.
FIRST, BEHIND = 200, 0.02
# Of top-1, and still equal.
TOLERANCE = 0.005
# On which the settings are ordered by bytes.
SAMPLE = 40

Pixels = NDArray[np.uint8]


class Judge:
    """The server's network at the card's default operating point, on pixels."""

    def __init__(self, network: TorchNetwork, card: Card) -> None:
        self._network, self.profile = network, card.profile
        self._point = card.point(None, card.profile.quality)
        quality = card.profile.quality
        self._steps = card.profile.low_steps(quality), card.profile.high_steps(quality)
        self._threshold = card.profile.threshold(quality)

    def answers(self, pictures: Sequence[Pixels]) -> NDArray[np.int64]:
        """Class indices int64[N] of pictures uint8[size, size, 3]."""
        batches = [pictures[i : i + BATCH] for i in range(0, len(pictures), BATCH)]
        return np.concatenate([self._batch([self._bands(each) for each in batch]) for batch in batches])

    def _batch(self, images: Sequence[Bands]) -> NDArray[np.int64]:
        first = self._network.run(Stage.LOW, images)
        asked = self._point.escalates(first)
        answers: NDArray[np.int64] = first.argmax(axis=1)
        if asked.any():
            unsure = [image for image, asks in zip(images, asked, strict=True) if asks]
            answers[asked] = self._network.run(Stage.HIGH, unsure).argmax(axis=1)
        return answers

    def _bands(self, picture: Pixels) -> Bands:
        channels, (low_steps, high_steps) = len(self.profile.low), self._steps
        values = coefficients(picture, self.profile.low + self.profile.high)
        low = quantise(values[:channels], low_steps, self._threshold)
        high = quantise(values[channels:], high_steps, self._threshold)
        return Bands(low, low_steps, high, high_steps)


def seen(rival: Rival, picture: Image.Image, size: int) -> tuple[Pixels, int]:
    """What a network of that size sees of an upload of the picture (RGB, cropped), and its bytes."""
    body = rival.compress(picture)
    decoded = Image.open(io.BytesIO(body)).convert("RGB")
    return np.asarray(decoded.resize((size, size), Image.Resampling.BICUBIC)), len(body)


def mean_bytes(rival: Rival, paths: Sequence[Path]) -> float:
    """Of an upload."""
    return float(np.mean([len(rival.encode(path)[0]) for path in paths]))


def search(
    judge: Judge,
    paths: Sequence[Path],
    targets: NDArray[np.int64],
    candidates: Sequence[Rival],
    ours: NDArray[np.bool_],
    tell: Callable[[Rival, float, float, int], None],
) -> Rival | None:
    """The first candidate right as often as we are, but for the tolerance; `tell` hears of each tried."""
    cropped: dict[int, list[Image.Image]] = {}
    for rival in candidates:
        if rival.side not in cropped:
            cropped[rival.side] = [Image.fromarray(fit(open_rgb(path), rival.side)) for path in paths]
        for count in sorted({min(FIRST, len(paths)), len(paths)}):
            looked = [seen(rival, picture, judge.profile.size) for picture in cropped[rival.side][:count]]
            right = judge.answers([pixels for pixels, _ in looked]) == targets[:count]
            tell(rival, float(right.mean()), float(np.mean([size for _, size in looked])), count)
            if right.mean() < ours[:count].mean() - (BEHIND if count < len(paths) else TOLERANCE):
                break
        else:
            return rival
    return None


def our_bytes(profile: Profile, paths: Sequence[Path]) -> float:
    """Of low and high together, at the default quality."""
    coded = [encode(fit(open_rgb(path), profile.size), profile) for path in paths]
    return float(np.mean([len(each.low) + len(each.high) for each in coded]))


def main(
    data: Annotated[Path, typer.Option(envvar="OVERTONE_DATA", help="Folder with train/ and val/.")],
    checkpoint: Annotated[str, typer.Option(help="A file, or the name of a bundled one.")] = "imagenette",
    codec: Annotated[str, typer.Option(help="webp or jpeg.")] = "webp",
    count: Annotated[int | None, typer.Option(help="At most so many calibration pictures.")] = None,
) -> None:
    """Print accuracy and bytes of the settings tried, and the one of equal accuracy."""
    network, card = open_network(checkpoint)
    judge = Judge(network, card)
    held = split(part(data, "train", card.classes, card.profile.labels))[1]
    known = dict(zip(held.paths, held.targets, strict=True))
    paths = draw(held.paths, count)
    targets = np.array([known[path] for path in paths])
    size = card.profile.size
    right = judge.answers([fit(open_rgb(path), size) for path in tracked(paths, "ours")]) == targets
    console = Console(highlight=False)
    console.print(f"{len(paths)} calibration pictures of {data.name}")
    console.print(
        f"Overtone      {right.mean():7.2%} right, {our_bytes(card.profile, paths[:SAMPLE]):7,.0f} bytes"
    )
    rivals = [Rival(cast(Codec, codec), side, quality) for side in SIDES for quality in QUALITIES]
    sizes = {rival: mean_bytes(rival, paths[:SAMPLE]) for rival in tracked(rivals, "sizes")}
    rivals.sort(key=sizes.__getitem__)

    def tell(rival: Rival, accuracy: float, size: float, of: int) -> None:
        given_up = "" if of == len(paths) else f" (of {of})"
        console.print(f"{rival!s:13} {accuracy:7.2%} right, {size:7,.0f} bytes{given_up}")

    found = search(judge, paths, targets, rivals, right, tell)
    console.print(f"equal accuracy: {found}" if found else "none is as accurate")


if __name__ == "__main__":
    typer.run(main)
