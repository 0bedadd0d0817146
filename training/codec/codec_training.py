"""`overtone train codec`: find quantiser steps and dead zones for a checkpoint, and certify the result."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from overtone.frequency import Encoded, Layer, Profile, coefficients, encode, fit, open_rgb
from overtone.frequency.channels import LOW
from overtone.models import Card, find
from overtone.training.calibration.calibrate import Predictor, destination
from overtone.training.codec.rate import Rate
from overtone.training.codec.step_search import ROUNDS, Choice, StepSearch
from overtone.training.codec.tables import tables_for
from overtone.training.data import Images, split
from overtone.training.export import decide, write
from overtone.training.progress import tracked

THRESHOLDS = (0.5, 0.56, 0.62, 0.68)
# Images for the search, for judging its results, and for counting the bytes of the actual coder.
SEARCHED_ON = 240
JUDGED_ON = 400
COUNTED_ON = 100
TOLERANCE = 0.005


@dataclass(frozen=True)
class SearchResult:
    """The result of the search for one budget of bytes.

    Attributes:
        budget: mean payload bytes of an image.
        chosen: the steps that were found.
        uniform: one step for all channels with the same bytes. Both are judged on images that the search did not use.
    """

    budget: float
    chosen: Choice
    uniform: Choice


def train_codec(
    checkpoint: str,
    data: Path,
    out: Path,
    budgets: Sequence[float],
    *,
    share: float = 0.25,
    workers: int = 0,
    device: str = "auto",
) -> Card:
    """Write a checkpoint with one quality per number of bytes; the networks stay as they are.

    Steps, dead zones, temperatures, default quality and operating points are chosen on the calibration split;
    the entropy coder's tables are counted on the rest of `train/`. Results are stored in OUT.steps.jsonl as they
    are found, and an interrupted search resumes from there.

    Args:
        checkpoint: a file or the name of a bundled one.
        data: the folder it was trained on.
        out: file to write.
        budgets: mean payload bytes of the cascade, one per quality.
        share: of the images for which the last layer is requested; the weight of its bytes and answers.
    """
    destination(checkpoint, out)
    predictor = Predictor.load(checkpoint, data, ["train"], workers, device)
    card, old = predictor.card, predictor.card.profile
    train, calibration = split(predictor.images("train"))
    found = list(_find_all(predictor, checkpoint, calibration, sorted(budgets), share, out))
    Console().print(_table(found))
    profile = _profile(old, [each.chosen for each in found], train)
    predictor.model.mix = None
    decided = decide(predictor.model, profile, calibration, data.name, TOLERANCE, workers)
    card = card.model_copy(update=decided)
    write(out, predictor.model, card)
    return card


def exact_coefficients(images: Images, profile: Profile) -> NDArray[np.float32]:
    """Coefficients float32[N, C, h, w] of all images, not quantised."""
    channels = profile.low + profile.high
    shown = tracked(images.paths, "coefficients", len(images))
    return np.stack([coefficients(fit(open_rgb(path), profile.size), channels) for path in shown])


def coded_share(images: Images, profile: Profile) -> NDArray[np.float64]:
    """The ratio of actual bytes to those that `Rate` estimates, float64[C], the same for all channels of a band.

    It is measured at the qualities of the profile.
    """
    values, channels = exact_coefficients(images, profile), profile.low + profile.high
    fitted = [fit(open_rgb(path), profile.size) for path in images.paths]
    logs = []
    for quality in tracked(profile.qualities, "counting bytes", len(profile.qualities)):
        rate = Rate(values, channels, profile.threshold(quality))
        estimate = rate(np.array(profile.steps[profile.index(quality)], float)) + 1e-3
        sent = [encode(rgb, profile, quality) for rgb in fitted]
        means = np.mean([_by_band(each, profile) for each in sent], axis=0)
        bands = np.split(estimate, [len(profile.low)])
        logs.append(np.log(means / [band.sum() for band in bands]))
    band_share: NDArray[np.float64] = np.exp(np.mean(logs, axis=0))
    return band_share.repeat([len(profile.low), len(profile.high)])


def _by_band(sent: Encoded, profile: Profile) -> list[int]:
    """The bytes of all layers of the low band, and of the high band."""
    pairs = list(zip(profile.ladder, sent.layers, strict=True))
    return [sum(len(payload) for layer, payload in pairs if layer.band == band) for band in ("low", "high")]


def _find_all(
    predictor: Predictor,
    checkpoint: str,
    calibration: Images,
    budgets: Sequence[float],
    share: float,
    out: Path,
) -> Iterator[SearchResult]:
    """The result for each budget, from an earlier run's file or from a search."""
    ladder = predictor.card.profile.ladder
    stored, key = out.with_suffix(".steps.jsonl"), _key(checkpoint, calibration, share, ladder)
    known = _read(stored, key)
    if all(budget in known for budget in budgets):
        yield from (known[budget] for budget in budgets)
        return
    search, judge = _searches(predictor, calibration, share)
    start: Sequence[float] = [1.0] * len(search.weights)
    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("searching", total=len(budgets) * ROUNDS * len(search.weights))
        for number, budget in enumerate(budgets):
            if budget not in known:
                chosen = search.run(budget, start, done=lambda: bars.advance(bar))
                known[budget] = SearchResult(budget, judge.judge(chosen), judge.judge(search.uniform(budget)))
                _write(stored, key, known.values())
            bars.update(bar, completed=(number + 1) * ROUNDS * len(search.weights))
            start = known[budget].chosen.steps
            yield known[budget]


def _searches(predictor: Predictor, calibration: Images, share: float) -> tuple[StepSearch, StepSearch]:
    """A search on half of the calibration images, and one on the other half that judges its results."""
    profile, model = predictor.card.profile, predictor.model.eval()
    even = calibration.take(range(0, len(calibration), 2))
    odd = calibration.take(range(1, len(calibration), 2))
    values = exact_coefficients(even.spread(SEARCHED_ON), profile)
    judged = exact_coefficients(odd.spread(JUDGED_ON), profile) if len(odd) else values
    weights = coded_share(calibration.spread(COUNTED_ON), profile)
    rates = [Rate(values, profile.low + profile.high, threshold) for threshold in THRESHOLDS]
    return (
        StepSearch(model, values, rates, weights, share, profile.ladder),
        StepSearch(model, judged, rates, weights, share, profile.ladder),
    )


def _profile(old: Profile, choices: Sequence[Choice], train: Images) -> Profile:
    """The old profile with a quality for each choice, coarsest first, and with tables fitted to them."""
    rows = tuple(choice.steps for choice in choices)
    thresholds = tuple(round(100 * choice.threshold) for choice in choices)
    return replace(
        old,
        qualities=tuple(range(1, len(choices) + 1)),
        quality=1,
        steps=rows,
        thresholds=thresholds,
        tables=tables_for(train, old.size, rows, old.low, old.high, thresholds, old.ladder),
    )


def _key(checkpoint: str, calibration: Images, share: float, ladder: tuple[Layer, ...]) -> str:
    """Identifies a search: another checkpoint, other images, another share or ladder begin a new one."""
    digest = hashlib.sha256(find(checkpoint).read_bytes())
    names = [path.name for path in calibration.paths]
    digest.update(json.dumps([names, share, ladder, THRESHOLDS, ROUNDS, SEARCHED_ON]).encode())
    return digest.hexdigest()[:16]


def _read(path: Path, key: str) -> dict[float, SearchResult]:
    if not path.exists():
        return {}
    first, *lines = path.read_text("utf-8").splitlines()
    if first != key:
        return {}
    raw = [json.loads(line) for line in lines]
    return {r["budget"]: SearchResult(r["budget"], _choice(r["chosen"]), _choice(r["uniform"])) for r in raw}


def _choice(raw: dict[str, object]) -> Choice:
    return Choice(**raw | {"steps": tuple(raw["steps"])})  # type: ignore[arg-type]


def _write(path: Path, key: str, found: Iterable[SearchResult]) -> None:
    part = path.with_suffix(".part")
    part.write_text("\n".join([key, *(json.dumps(asdict(each)) for each in found)]) + "\n", "utf-8")
    part.replace(path)


def _table(found: Iterable[SearchResult]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        title="Steps found for each number of bytes",
        caption="Harm: how much rounding changes the answers, in nats, on calibration images that the search "
        "did not use. Uniform: one step for all channels, no dead zone. Bytes are estimates.",
    )
    for column in ("bytes", "harm", "uniform: bytes", "harm", "rounds up from", "low steps", "high steps"):
        table.add_column(column, justify="right")
    for each in found:
        chosen, uniform = each.chosen, each.uniform
        low, high = chosen.steps[: len(LOW)], chosen.steps[len(LOW) :]
        table.add_row(
            f"{chosen.bytes:.0f}",
            f"{chosen.harm:.4f}",
            f"{uniform.bytes:.0f}",
            f"{uniform.harm:.4f}",
            f"{chosen.threshold:.2f}",
            f"{min(low)} - {max(low)}",
            f"{min(high)} - {max(high)}",
        )
    return table
