"""Which upload is as accurate as Overtone? `python -m overtone.benchmarks.sweep.iso_accuracy --data DIR`.

Uploads are answered by the baseline network of `overtone bench bytes`, which costs as much as Overtone's and was
trained on such images. Sides and qualities are tried on the calibration part of train/, from the fewest bytes
up; the first that is as accurate as the cascade at its defaults wins, within half a point, which is what our own
default quality was allowed when it was chosen. No sweep sends any of these images.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from overtone import command
from overtone.benchmarks.load.baseline import Baseline, Codec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from overtone.benchmarks.curve.baselines import Setting
    from overtone.benchmarks.curve.evaluation import Outcome

LOGS = Path(__file__).resolve().parents[2] / "docs" / "runs"
SIDES = (80, 96, 112, 128, 160, 192, 224)
QUALITIES = (5, 10, 20, 30, 40, 55, 75)
# Of top-1, within which accuracies count as equal.
TOLERANCE = 0.005
# A setting that is this far behind on the first images is not tried on the rest.
FIRST, BEHIND = 200, 0.02
# Images on which the settings are ordered by their bytes.
SAMPLE = 40


class LogError(ValueError):
    """A log that cannot be read."""


@dataclass(frozen=True)
class IsoAccuracy:
    """A baseline of equal accuracy.

    Attributes:
        profile: id of the profile it is compared with, in hexadecimal.
        n: calibration images.
        ours: top-1 of the cascade at its default quality and operating point, a fraction.
        baseline, theirs, bytes: codec, side and quality; its top-1 and mean bytes.
        reached: whether it is as accurate; otherwise it is the most accurate one tried.
    """

    profile: str
    n: int
    ours: float
    baseline: Baseline
    theirs: float
    bytes: float
    reached: bool

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"baseline": str(self.baseline)}


def log_of(model: str) -> Path:
    """The file in which the result for a model is kept."""
    return LOGS / f"iso-accuracy-{model}.json"


def logged(path: Path, profile: str) -> IsoAccuracy | None:
    """The result in a log; None if there is no log, or it is about another profile.

    Raises:
        LogError: it cannot be read.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        result = IsoAccuracy(**found | {"baseline": Baseline.parse(found["baseline"])})
    except (ValueError, LookupError, TypeError) as error:
        raise LogError(f"{path}: not a log of {__name__} ({error})") from None
    return result if result.profile == profile else None


# Sends the images from one number to another at a setting.
Trial = Callable[["Setting", int, int], "Outcome"]


def search(
    settings: Sequence["Setting"],
    ours: "NDArray[np.bool_]",
    trial: Trial,
    report: Callable[["Setting", "Outcome"], None],
) -> tuple["Setting", "Outcome", bool]:
    """The first setting that is as accurate as `ours`, and True; otherwise the most accurate, and False.

    Args:
        settings: at least one, in order of their bytes.
        ours: which images Overtone answers correctly.
        trial: sends images.
        report: called with each setting and the outcome so far.
    """
    best: tuple[Setting, Outcome] | None = None
    for setting in settings:
        outcome = trial(setting, 0, min(FIRST, len(ours)))
        near = outcome.top1 >= ours[: len(outcome.correct)].mean() - BEHIND
        if near and len(ours) > FIRST:
            outcome = outcome.join([outcome, trial(setting, FIRST, len(ours))])
        report(setting, outcome)
        if best is None or outcome.top1 > best[1].top1:
            best = setting, outcome
        if near and outcome.top1 >= ours.mean() - TOLERANCE:
            return setting, outcome, True
    assert best is not None
    return *best, False


def find(data: Path, checkpoint: str, baseline: str, codec: Codec, count: int | None) -> IsoAccuracy:
    """Try all settings of a codec, and print what was tried.

    Raises:
        ValueError: no such checkpoint, baseline, codec or data.
    """
    from overtone.benchmarks.curve.baselines import Setting
    from overtone.benchmarks.curve.command import Options, open_setup
    from overtone.training.modes import confidence

    setup = open_setup(data, Path("runs/iso-accuracy"), Options(checkpoint, baseline, count))
    card, evaluation = setup.card, setup.evaluation("calibration", exact=True)
    p = setup.predictions("calibration")[card.profile.quality]
    threshold = card.point(None, card.profile.quality).threshold
    early = confidence(p.low, card.temperature.low) >= threshold
    low, high = (logits.argmax(axis=1) == p.targets for logits in (p.low, p.high))
    ours = (early & low) | (~early & high)
    print(f"Overtone {ours.mean():.2%} correct on {len(ours)} calibration images of {data.name}")
    tried = [Setting(codec, side, quality) for side in SIDES for quality in QUALITIES]
    sample = evaluation.run(tried, "sizes", 0, min(SAMPLE, len(ours)))
    tried.sort(key=lambda setting: sample[setting].bytes.mean())

    def trial(setting: Setting, begin: int, end: int) -> "Outcome":
        return evaluation.run([setting], str(Baseline(codec, setting.side, setting.quality)), begin, end)[
            setting
        ]

    def report(setting: Setting, outcome: "Outcome") -> None:
        name = Baseline(codec, setting.side, setting.quality)
        size, count = outcome.bytes.mean(), len(outcome.correct)
        print(f"{name!s:13} {outcome.top1:7.2%} correct, {size:7,.0f} bytes, {count} images")

    setting, outcome, reached = search(tried, ours, trial, report)
    return IsoAccuracy(
        profile=card.profile.id.hex(),
        n=len(ours),
        ours=float(ours.mean()),
        baseline=Baseline(codec, setting.side, setting.quality),
        theirs=outcome.top1,
        bytes=float(outcome.bytes.mean()),
        reached=reached,
    )


def main(
    data: command.Data,
    checkpoint: Annotated[
        str, typer.Option(help="A file, or the name of a bundled checkpoint.")
    ] = "imagenette",
    baseline: Annotated[str, typer.Option(help="A file, or the name of a bundled network.")] = "imagenette",
    codec: Annotated[str, typer.Option(help="webp or jpeg.")] = "webp",
    count: Annotated[int | None, typer.Option(min=1, help="At most so many images.")] = None,
) -> None:
    """Find the upload of equal accuracy, and keep it where a sweep looks for it."""

    def action() -> None:
        found = find(data, checkpoint, baseline, cast(Codec, codec), count)
        path = log_of(Path(checkpoint).stem)
        path.write_text(json.dumps(found.document(), indent=1) + "\n", "utf-8")
        end = "" if found.reached else "; none is as accurate, this is the most accurate"
        print(f"equal accuracy: {found.baseline}{end}\nwrote {path}")

    command.call("iso_accuracy", "train,server,bench", action)


if __name__ == "__main__":
    typer.run(main)
