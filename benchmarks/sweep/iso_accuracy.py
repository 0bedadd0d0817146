"""Which upload is as accurate as Overtone? `python -m overtone.benchmarks.sweep.iso_accuracy --data DIR`.

Uploads are answered by the baseline network of `overtone bench bytes`, which costs as much as Overtone's and was
trained on such images. Sides and qualities are tried on the calibration part of train/, from the fewest bytes
up; the first that is as accurate as the cascade at its defaults wins, within half a point, which is what our own
default quality was allowed when it was chosen. No sweep sends any of these images.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import typer

from overtone import command
from overtone.benchmarks.load.baseline import Baseline, Codec

T = TypeVar("T")
LOGS = Path(__file__).resolve().parents[2] / "docs" / "runs"
SIDES = (80, 96, 112, 128, 160, 192, 224)
QUALITIES = (5, 10, 20, 30, 40, 55, 75)
# Of top-1, within which accuracies count as equal.
TOLERANCE = 0.005
# Images on which the settings are ordered by their bytes.
SAMPLE = 40


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
        ValueError: it cannot be read.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        result = IsoAccuracy(**found | {"baseline": Baseline.parse(found["baseline"])})
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path}: not a log of {__name__} ({error})") from None
    return result if result.profile == profile else None


def search(settings: Iterable[T], top1: Callable[[T], float], goal: float) -> tuple[T, bool]:
    """The first setting whose top-1 reaches the goal, and True; otherwise the most accurate, and False."""
    tried: list[tuple[float, T]] = []
    for setting in settings:
        tried.append((top1(setting), setting))
        if tried[-1][0] >= goal:
            return setting, True
    return max(tried, key=lambda each: each[0])[1], False


def find(data: Path, checkpoint: str, baseline: str, codec: Codec, count: int | None) -> IsoAccuracy:
    """Try all settings of a codec, and print what was tried.

    Raises:
        ValueError: no such checkpoint, baseline, codec or data.
    """
    from overtone.benchmarks.curve.baselines import Setting
    from overtone.benchmarks.curve.command import Options, open_setup
    from overtone.training.evaluation.stopping import Rule

    setup = open_setup(data, Path("runs/iso-accuracy"), Options(checkpoint, baseline, count))
    card, evaluation = setup.card, setup.evaluation("calibration", exact=True)
    p = setup.predictions("calibration")[card.profile.quality]
    rule = Rule.of(card.point(None, card.profile.quality))
    ours = p.correct_after(p.layers_taken(card.temperatures, rule))
    print(f"Overtone {ours.mean():.2%} correct on {len(ours)} calibration images of {data.name}")
    tried = [Setting(codec, side, quality) for side in SIDES for quality in QUALITIES]
    sample = evaluation.run(tried, "sizes", 0, min(SAMPLE, len(ours)))
    tried.sort(key=lambda setting: sample[setting].bytes.mean())

    def measured(setting: Setting) -> tuple[Baseline, float, float]:
        outcome = evaluation.run([setting], f"{setting.side} px")[setting]
        return Baseline(codec, setting.side, setting.quality), outcome.accuracy, float(outcome.bytes.mean())

    def top1(setting: Setting) -> float:
        name, share, size = measured(setting)
        print(f"{name} {share:.2%} correct, {size:,.0f} bytes")
        return share

    setting, reached = search(tried, top1, ours.mean() - TOLERANCE)
    profile, (found, theirs, size) = card.profile.id.hex(), measured(setting)
    return IsoAccuracy(profile, len(ours), float(ours.mean()), found, theirs, size, reached)


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
