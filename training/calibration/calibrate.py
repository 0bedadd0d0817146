"""`overtone calibrate`: certify a checkpoint's operating points, or simulate how well the guarantees hold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from overtone.frequency import THREE_LAYERS, TWO_LAYERS, Layer, Profile, fit
from overtone.models import (
    Card,
    Cascade,
    CheckpointError,
    OperatingPoint,
    bundled,
    choose_device,
    find,
    load,
    rewrite,
)
from overtone.training.calibration import calibration_report as report
from overtone.training.calibration.mixing import compare, fit_mix, mixed
from overtone.training.calibration.risk_targets import (
    DEFAULT_POINT,
    Certifier,
    Provenance,
    RiskTarget,
    certifying,
    replaced,
    standard_targets,
)
from overtone.training.calibration.simulation import simulate
from overtone.training.calibration.temperature import fit_temperatures
from overtone.training.codec.tables import tables_for
from overtone.training.data import DataError, Images, View, read_split, split
from overtone.training.evaluation.predictions import Predictions, predict_each
from overtone.training.export import accuracy_of, check_writable
from overtone.training.teacher import Teacher, read_any, teacher_of

# The ladders that a checkpoint can be given, by the number of their layers.
LADDERS: Final = {2: TWO_LAYERS, 3: THREE_LAYERS}


@dataclass(frozen=True)
class Predictor:
    """Predicts the splits of a data set with a checkpoint; with a teacher, its answers take the place of labels."""

    model: Cascade
    card: Card
    data: Path
    workers: int
    teacher: Teacher | None = None

    @classmethod
    def load(
        cls,
        checkpoint: str,
        data: Path,
        splits: Sequence[str],
        workers: int = 0,
        device: str = "auto",
        agreement: bool = False,
    ) -> "Predictor":
        """The checkpoint, even if its certificates are stale; checks that the splits have images.

        With `agreement`, the targets are the answers of the teacher that the card names.

        Raises:
            CheckpointError: no such checkpoint.
            DataError: no such split or data, or an empty split.
            PretrainedError: the card names no teacher, or its weights are not here.
        """
        model, card = load(checkpoint, choose_device(device), stale=True)
        teacher = teacher_of(card, model, None) if agreement else None
        predictor = cls(model, card, data, workers, teacher)
        for name in splits:
            predictor.images(name)
        return predictor

    def images(self, name: str) -> Images:
        """The images of the split `calibration` (a tenth of train/), `train` or `val`, before a teacher answers them.

        Raises:
            DataError: no such split or data, or an empty split.
        """
        if self.teacher:
            images = read_any(self.data, name, self.card.classes)
        else:
            images = read_split(self.data, name, self.card.classes, self.card.profile.labels)
        if not len(images):
            raise DataError(f"{self.data}: no images in its split {name}")
        return images

    def predict(self, name: str, qualities: Sequence[int]) -> dict[int, Predictions]:
        """Predictions on a split at each of these qualities, without the card's mix of logits."""
        images = self.images(name)
        if self.teacher:
            images = self.teacher.answered(images, self.workers)
        self.model.mix = None
        return predict_each(self.model, images, self.card.profile, qualities, self.workers)

    def with_layers(self, layers: int) -> "Predictor":
        """The same checkpoint with another ladder, for which tables are fitted to the images of `train/`."""
        train, _ = split(self.images("train"))
        profile = with_ladder(self.card.profile, LADDERS[layers], train)
        return replace(self, card=self.card.model_copy(update={"profile": profile}))


def with_ladder(profile: Profile, ladder: tuple[Layer, ...], train: Images, view: View = fit) -> Profile:
    """A profile of the same steps with another ladder, and with tables fitted to training images."""
    p = profile
    tables = tables_for(train, p.size, p.steps, p.low, p.high, p.thresholds, ladder, view=view)
    return replace(p, ladder=ladder, tables=tables)


def calibrate(
    checkpoint: str,
    data: Path,
    target: RiskTarget | None = None,
    *,
    qualities: Sequence[int] = (),
    layers: int | None = None,
    default: bool = False,
    mix: bool | None = None,
    split: str = "calibration",
    reported: str | None = None,
    agreement: bool = False,
    out: Path | None = None,
    workers: int = 0,
    device: str = "auto",
    as_json: bool = False,
) -> Card:
    """Certify a checkpoint, write it with the new card, and print the points.

    The standard points come with newly fitted temperatures (and mix), and replace all others. A single point is
    added under the temperatures of the others.

    Args:
        checkpoint: a file or the name of a bundled one.
        data: a folder or the name of a data set.
        target: of a single point; None certifies the standard points.
        qualities: at which to certify; by default the profile's default quality, or all with a new ladder.
        layers: give the checkpoint the ladder of so many layers, and a new profile; None keeps both.
        default: make the single point the card's default.
        mix: fit a mix of low's and high's logits (True), drop it (False), or keep to what the card does (None).
        split: the split to certify on.
        reported: the split on which the card's accuracy is measured again.
        agreement: certify agreement with the teacher that the card names, instead of accuracy.
        out: the file to write; None overwrites the checkpoint.
        workers: processes that decode images.
        device: auto, cpu or cuda.
        as_json: print one JSON object.

    Raises:
        CheckpointError: no file that can be written, or a mix or ladder that would invalidate other points.
        TargetError: a target that cannot be guaranteed.
    """
    out = destination(checkpoint, out)
    splits = [split, *([reported] if reported else []), *(["train"] if layers else [])]
    predictor = Predictor.load(checkpoint, data, splits, workers, device, agreement)
    main = predictor.card.profile.quality
    qualities = tuple(qualities) or (predictor.card.profile.qualities if layers else (main,))
    for quality in qualities:
        predictor.card.profile.index(quality)
    anew = target is None and main in qualities
    if not anew:
        predictor.card.check()
        if mix is not None or layers is not None:
            raise CheckpointError(
                f"a {'mix' if layers is None else 'ladder'} changes every point: certify the standard points, at "
                "the default quality among others"
            )
    if layers is not None:
        predictor = predictor.with_layers(layers)
    card, found = predictor.card, predictor.predict(split, qualities)
    if anew:
        wanted = card.mix is not None if mix is None else mix
        chosen = fit_mix(found[main]) if wanted else None
        temperatures = fit_temperatures(mixed(found[main], chosen))
        card = card.model_copy(update={"mix": chosen, "temperatures": temperatures})
    fresh = [
        point
        for q, p in found.items()
        for point in certified(mixed(p, card.mix), card, q, f"{data.name}/{split}", target, agreement)
    ]
    points = tuple(fresh) if anew else replaced(card.operating_points, fresh)
    card = card.model_copy(update={"operating_points": points})
    if default or anew:
        name = target.name if target else DEFAULT_POINT
        card = card.model_copy(update={"operating_point": name, "accuracy": ()})
    if reported:
        p = mixed(predictor.predict(reported, [main])[main], card.mix)
        card = card.model_copy(update={"accuracy": (accuracy_of(p, card, f"{data.name}/{reported}"),)})
    rewrite(checkpoint, card, out)
    report.report_points(card, fresh, str(out), as_json)
    return card


def certified(
    p: Predictions, card: Card, quality: int, data: str, target: RiskTarget | None, agreement: bool
) -> list[OperatingPoint]:
    """The point of a target, or the standard points, from predictions at a quality."""
    certifier = Certifier.of(p.agreeing() if agreement else p, card.temperatures)
    targets = (target,) if target else standard_targets(len(certifier.p.targets))
    source = Provenance(card.profile, quality, data)
    return [certifier.certify(each, source) for each in targets]


def destination(checkpoint: str, out: Path | None) -> Path:
    """The file that a changed checkpoint is written to: itself, unless it is a bundled one.

    Raises:
        CheckpointError: it is bundled and there is no `out`, or `out` cannot be written.
    """
    path = find(checkpoint)
    if out is None and path.resolve() in {p.resolve() for p in bundled().values()}:
        raise CheckpointError(f"{checkpoint} comes with the package and is not overwritten: give --out FILE")
    out = out or path
    check_writable(out)
    return out


def simulate_guarantees(
    predictor: Predictor,
    target: RiskTarget | None,
    name: str,
    splits: int,
    n: int | None,
    as_json: bool = False,
) -> None:
    """Print how often guarantees hold over random splits of the images; nothing is stored.

    Args:
        predictor: the checkpoint and its data.
        target: the guarantee to test; None tests the standard ones.
        name: the split of the data whose images are used.
        splits: number of random splits.
        n: images of each split that calibrate; by default half of them.
        as_json: print JSON instead of a table.
    """
    p = mixed(_main(predictor, name), predictor.card.mix)
    size = len(p.targets) // 2 if n is None else n
    targets = (target,) if target else standard_targets(certifying(p.layers, size))
    trials = simulate(p, targets, n=size, splits=splits)
    report.report_trials(trials, f"{predictor.card.name} on {predictor.data.name}/{name}", as_json)


def compare_mixes(predictor: Predictor, name: str, reported: str | None, as_json: bool = False) -> None:
    """Print the gain of mixing low's and high's logits, cross-validated on split `name` and on split `reported`."""
    p = _main(predictor, name)
    found = {f"{name}, cross-validated": compare(p)}
    if reported:
        found[reported] = compare(p, _main(predictor, reported))
    report.report_mixes(found, fit_mix(p), as_json)


def _main(predictor: Predictor, name: str) -> Predictions:
    """Predictions on a split at the default quality."""
    quality = predictor.card.profile.quality
    return predictor.predict(name, [quality])[quality]
