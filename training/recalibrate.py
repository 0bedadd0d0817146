"""What `overtone calibrate` does: certify a checkpoint again, or try what a certificate rests on."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from scipy.special import softmax

from overtone.models import (
    Accuracy,
    Card,
    Cascade,
    CheckpointError,
    Mix,
    bundled,
    choose_device,
    find,
    load,
    rewrite,
)
from overtone.models.operating_point import OperatingPoint
from overtone.training import deferral, findings, mix
from overtone.training.calibrate import DEFAULT_POINT, fit_temperatures
from overtone.training.certificate import (
    Held,
    Wish,
    WishError,
    certify,
    certify_rule,
    check_rule,
    replaced,
    standard_wishes,
    take,
)
from overtone.training.data import DataError, Pictures
from overtone.training.modes import modes_of
from overtone.training.parts import read_part
from overtone.training.predict import Predictions, predict
from overtone.training.simulate import simulate


@dataclass(frozen=True)
class Source:
    """A checkpoint and the pictures it is tried on; `load` it before the first prediction."""

    model: Cascade
    card: Card
    data: Path
    workers: int

    @classmethod
    def load(cls, checkpoint: str, data: Path, workers: int = 0, device: str = "auto") -> "Source":
        """The checkpoint with its certificates as they are, stale ones too."""
        return cls(*load(checkpoint, choose_device(device), stale=True), data, workers)

    def pictures(self, name: str) -> Pictures:
        """The part `calibration` (a tenth of train/), `train` or `val`.

        Raises:
            DataError: no such part or data, or nothing in it.
        """
        pictures = read_part(self.data, name, self.card.classes, self.card.profile.labels)
        if not len(pictures):
            raise DataError(f"{self.data}: no pictures in its part {name}")
        return pictures

    def predict(self, name: str, quality: int | None = None) -> Predictions:
        """Predictions on a part at a quality (default: the profile's), with high's own logits."""
        quality = self.card.profile.quality if quality is None else quality
        pictures = self.pictures(name)
        self.model.mix = None
        return predict(self.model, pictures, self.card.profile, quality, self.workers)

    def held(self, name: str, quality: int | None = None) -> Held:
        """What a certificate made on a part is about."""
        profile = self.card.profile
        chosen = profile.quality if quality is None else quality
        return Held(profile, chosen, f"{self.data.name}/{name}")


@dataclass(frozen=True)
class Task:
    """What to certify, and where to put it.

    Attributes:
        wish: one point; None makes the standard ones.
        rate_aware: the point decides by a rule that weighs bytes.
        qualities: at which to certify; none is the profile's default.
        default: the point becomes the card's default.
        mix: fit a mix of low's and high's logits and keep it (True), drop it (False), leave it (None).
        part: of the data, on which is certified.
        report: of the data, on which the card's accuracy is measured afresh.
        out: file; None writes the checkpoint again.

    Raises:
        WishError: a rate-aware point that promises nothing, or in high probability.
    """

    wish: Wish | None = None
    rate_aware: bool = False
    qualities: Sequence[int] = ()
    default: bool = False
    mix: bool | None = None
    part: str = "calibration"
    report: str | None = None
    out: Path | None = None

    def __post_init__(self) -> None:
        if self.rate_aware and self.wish is None:
            raise WishError("a rate-aware point needs a promise: give --alpha, --share or --mean-bytes")
        if self.rate_aware and self.wish is not None:
            check_rule(self.wish)


def calibrate(source: Source, checkpoint: str, task: Task, as_json: bool = False) -> Card:
    """Certify a checkpoint, write the card, and print its points.

    The standard points come with temperatures (and a mix) fitted afresh, and replace all others; a single
    point is added under the temperatures that the others were made for.

    Raises:
        CheckpointError: it is a bundled one and there is no `out`.
        WishError: a promise that cannot be asked for.
    """
    out = destination(checkpoint, task.out)
    qualities = tuple(task.qualities) or (source.card.profile.quality,)
    for quality in qualities:
        source.card.profile.index(quality)
    card, fresh = _certified(source, task, qualities)
    if task.report:
        card = card.model_copy(update={"accuracy": (_accuracy(source, card, task.report),)})
    rewrite(checkpoint, card, out)
    findings.points(card, fresh, str(out), as_json)
    return card


def destination(checkpoint: str, out: Path | None) -> Path:
    """Where a checkpoint is written to: over itself, unless it came with the package.

    Raises:
        CheckpointError: it did, and there is no `out`, or `out` has no folder or is one.
    """
    path = find(checkpoint)
    if out is None and path.resolve() in {p.resolve() for p in bundled().values()}:
        raise CheckpointError(f"{checkpoint} comes with the package and is not overwritten: give --out FILE")
    out = out or path
    check_file(out)
    return out


def check_file(out: Path) -> None:
    """Find now that a file could not be written.

    Raises:
        CheckpointError: it has no folder, or is one.
    """
    if not out.parent.is_dir():
        raise CheckpointError(f"{out.parent}: no such folder")
    if out.is_dir():
        raise CheckpointError(f"{out}: a folder; give a file in it")


def check_plot(plot: Path) -> None:
    """Find now that a figure could not be drawn.

    Raises:
        CheckpointError: as `check_file`, or it is no PNG.
    """
    check_file(plot)
    if plot.suffix.lower() != ".png":
        raise CheckpointError(f"{plot}: the figure is a PNG; give it a name that ends in .png")


def _certified(source: Source, task: Task, qualities: tuple[int, ...]) -> tuple[Card, list[OperatingPoint]]:
    card, main = source.card, source.card.profile.quality
    anew = task.wish is None and main in qualities
    if not anew:
        card.check()
    if task.mix is not None and not anew:
        raise CheckpointError(
            "a mix changes every point: leave out the promise, and --quality or add the default"
        )
    found = {q: source.predict(task.part, q) for q in qualities}
    if anew:
        chosen = _mix(card, task, found[main])
        temperature = fit_temperatures(mix.mixed(found[main], chosen))
        card = card.model_copy(update={"mix": chosen, "temperature": temperature, "accuracy": ()})
    fresh = [
        _point(wish, mix.mixed(p, card.mix), card, source.held(task.part, q), task.rate_aware)
        for q, p in found.items()
        for wish in ((task.wish,) if task.wish else standard_wishes(len(p.targets)))
    ]
    points = tuple(fresh) if anew else replaced(card.operating_points, fresh)
    update: dict[str, Any] = {"operating_points": points}
    if task.default or anew:
        update["operating_point"] = task.wish.name if task.wish else DEFAULT_POINT
        update["accuracy"] = ()
    return card.model_copy(update=update), fresh


def _mix(card: Card, task: Task, p: Predictions) -> Mix | None:
    if task.mix is None:
        # The weights of an old one are fitted again with the temperatures.
        return mix.fit_mix(p) if card.mix else None
    return mix.fit_mix(p) if task.mix else None


def _point(wish: Wish, p: Predictions, card: Card, held: Held, rate_aware: bool) -> OperatingPoint:
    if not rate_aware:
        return certify(wish, p, card.temperature, held)
    # A rule has too many coefficients to be judged on the pictures it was fitted on: half for each.
    fit, rest = next(deferral.folds(len(p.targets), 2))
    rule = deferral.fit_rule(take(p, fit), card.temperature)
    return certify_rule(wish, rule, take(p, rest), card.temperature, held)


def _accuracy(source: Source, card: Card, name: str) -> Accuracy:
    """The card's default quality and point on a part."""
    point, quality = card.point(), card.profile.quality
    p = mix.mixed(source.predict(name, quality), card.mix)
    found = modes_of(p, ~point.escalates(softmax(p.low / card.temperature.low, axis=1), p.high_bytes))
    return Accuracy(
        data=f"{source.data.name}/{name}",
        n=len(p.targets),
        quality=quality,
        threshold=point.threshold,
        low_bytes=float(p.low_bytes.mean()),
        high_bytes=float(p.high_bytes.mean()),
        **asdict(found),
    )


def try_promises(
    source: Source, wish: Wish | None, name: str, splits: int, n: int | None, as_json: bool = False
) -> None:
    """Print how promises fare over random splits of a part; nothing is stored."""
    p = mix.mixed(source.predict(name), source.card.mix)
    half = len(p.targets) // 2 if n is None else n
    wishes = (wish,) if wish else standard_wishes(half)
    kept = simulate(p, wishes, n=half, splits=splits)
    findings.promises(kept, f"{source.card.name} on {source.data.name}/{name}", as_json)


def try_mix(source: Source, reported: str | None, name: str, as_json: bool = False) -> None:
    """Print what mixing low's and high's logits gains, cross-validated and on reported pictures."""
    p = source.predict(name)
    found = {f"{name}, cross-validated": mix.cross_validated(p)}
    if reported:
        found[reported] = mix.reported(p, source.predict(reported))
    findings.mixes(found, mix.fit_mix(p), as_json)


def try_deferral(source: Source, plot: Path, reported: str | None, name: str, as_json: bool = False) -> None:
    """Draw the rate-aware rule against plain confidence, and write the same beside it as JSON."""
    check_plot(plot)
    p = mix.mixed(source.predict(name), source.card.mix)
    temperature = source.card.temperature
    found = {f"{name}, cross-fitted": deferral.compare(deferral.cross_fitted(p, temperature), p)}
    if reported:
        fresh = mix.mixed(source.predict(reported), source.card.mix)
        scores = deferral.scores(deferral.fit_rule(p, temperature), fresh, temperature)
        found[reported] = deferral.compare(scores, fresh)
    deferral.draw(found, plot)
    text = json.dumps(deferral.as_json(found))
    plot.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    if as_json:
        print(text)
    else:
        findings.rules(found)
        Console().print(f"drawn in {plot}, the numbers in {plot.with_suffix('.json')}", soft_wrap=True)
