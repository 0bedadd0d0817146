"""What `overtone calibrate` does: certify a checkpoint, or test what its certificates rest on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from overtone.models import Card, Cascade, CheckpointError, bundled, choose_device, find, load, rewrite
from overtone.training.calibration import calibration_report as report
from overtone.training.calibration.mixing import compare, fit_mix, mixed
from overtone.training.calibration.risk_targets import (
    DEFAULT_POINT,
    Provenance,
    RiskTarget,
    certify,
    replaced,
    standard_targets,
)
from overtone.training.calibration.simulation import simulate
from overtone.training.calibration.temperature import fit_temperatures
from overtone.training.data import DataError, Images, read_split
from overtone.training.evaluation.predictions import Predictions, predict
from overtone.training.export import accuracy_of, check_writable


@dataclass(frozen=True)
class Source:
    """A checkpoint, and the data it is applied to."""

    model: Cascade
    card: Card
    data: Path
    workers: int

    @classmethod
    def load(
        cls, checkpoint: str, data: Path, splits: Sequence[str], workers: int = 0, device: str = "auto"
    ) -> "Source":
        """The checkpoint, even if its certificates are stale; checks that the splits have images.

        Raises:
            CheckpointError: no such checkpoint.
            DataError: no such split or data, or an empty split.
        """
        source = cls(*load(checkpoint, choose_device(device), stale=True), data, workers)
        for name in splits:
            source.images(name)
        return source

    def images(self, name: str) -> Images:
        """The split `calibration` (a tenth of train/), `train` or `val`.

        Raises:
            DataError: no such split or data, or an empty split.
        """
        images = read_split(self.data, name, self.card.classes, self.card.profile.labels)
        if not len(images):
            raise DataError(f"{self.data}: no images in its split {name}")
        return images

    def predict(self, name: str, quality: int | None = None) -> Predictions:
        """Predictions on a split at a quality (default: the profile's), with high's own logits."""
        quality = self.card.profile.quality if quality is None else quality
        images = self.images(name)
        self.model.mix = None
        return predict(self.model, images, self.card.profile, quality, self.workers)


def calibrate(
    checkpoint: str,
    data: Path,
    target: RiskTarget | None = None,
    *,
    qualities: Sequence[int] = (),
    default: bool = False,
    mix: bool | None = None,
    split: str = "calibration",
    reported: str | None = None,
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
        qualities: at which to certify; by default the profile's default quality.
        default: make the single point the card's default.
        mix: fit a mix of low's and high's logits (True), drop it (False), or keep to what the card does (None).
        split: the split to certify on.
        reported: the split on which the card's accuracy is measured again.
        out: the file to write; None overwrites the checkpoint.

    Raises:
        CheckpointError: no file that can be written, or a mix that would invalidate other points.
        TargetError: a target that cannot be guaranteed.
    """
    out = destination(checkpoint, out)
    source = Source.load(checkpoint, data, [split, *([reported] if reported else [])], workers, device)
    card, main = source.card, source.card.profile.quality
    qualities = tuple(qualities) or (main,)
    for quality in qualities:
        card.profile.index(quality)
    anew = target is None and main in qualities
    if not anew:
        card.check()
        if mix is not None:
            raise CheckpointError(
                "a mix changes every point: certify the standard points, at the default quality among others"
            )
    found = {q: source.predict(split, q) for q in qualities}
    if anew:
        wanted = card.mix is not None if mix is None else mix
        chosen = fit_mix(found[main]) if wanted else None
        temperature = fit_temperatures(mixed(found[main], chosen))
        card = card.model_copy(update={"mix": chosen, "temperature": temperature})
    fresh = [
        certify(each, p, card.temperature, Provenance(card.profile, q, f"{data.name}/{split}"))
        for q, p in ((q, mixed(p, card.mix)) for q, p in found.items())
        for each in ((target,) if target else standard_targets(len(p.targets)))
    ]
    points = tuple(fresh) if anew else replaced(card.operating_points, fresh)
    card = card.model_copy(update={"operating_points": points})
    if default or anew:
        name = target.name if target else DEFAULT_POINT
        card = card.model_copy(update={"operating_point": name, "accuracy": ()})
    if reported:
        p = mixed(source.predict(reported), card.mix)
        card = card.model_copy(update={"accuracy": (accuracy_of(p, card, f"{data.name}/{reported}"),)})
    rewrite(checkpoint, card, out)
    report.report_points(card, fresh, str(out), as_json)
    return card


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
    source: Source, target: RiskTarget | None, name: str, splits: int, n: int | None, as_json: bool = False
) -> None:
    """Print how guarantees fare over random splits of the images; nothing is stored."""
    p = mixed(source.predict(name), source.card.mix)
    size = len(p.targets) // 2 if n is None else n
    targets = (target,) if target else standard_targets(size)
    trials = simulate(p, targets, n=size, splits=splits)
    report.report_trials(trials, f"{source.card.name} on {source.data.name}/{name}", as_json)


def compare_mixes(source: Source, name: str, reported: str | None, as_json: bool = False) -> None:
    """Print what mixing low's and high's logits gains, cross-validated and on reported images."""
    p = source.predict(name)
    found = {f"{name}, cross-validated": compare(p)}
    if reported:
        found[reported] = compare(p, source.predict(reported))
    report.report_mixes(found, fit_mix(p), as_json)
