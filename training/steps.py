"""What `overtone train codec` does: steps and dead zones for a checkpoint, and all that follows from them."""

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

from overtone.frequency import Profile, coefficients, encode, fit, open_rgb
from overtone.frequency.channels import LOW
from overtone.models import Card, find, save
from overtone.training.codec import tables_for
from overtone.training.data import Pictures, split
from overtone.training.finish import decide
from overtone.training.progress import tracked
from overtone.training.quantisation import ROUNDS, Choice, Search
from overtone.training.rate import Rate
from overtone.training.recalibrate import Source, destination

THRESHOLDS = (0.5, 0.56, 0.62, 0.68)
SEARCHED_ON = 240
JUDGED_ON = 400
COUNTED_ON = 100
TOLERANCE = 0.005


@dataclass(frozen=True)
class Step:
    """A quality's steps, beside one step for all: both on pictures that the search did not see."""

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
    """Write a checkpoint again with a quality for each number of bytes; the networks stay as they are.

    Steps, dead zones, temperature, default quality and operating points are chosen on the calibration part,
    the entropy coder's tables counted on the rest of `train/`. What has been found stands in OUT.steps.jsonl,
    from which an interrupted search goes on.

    Args:
        checkpoint: a file or the name of a bundled one.
        data: the folder it was trained on.
        out: file to write.
        budgets: mean payload bytes of the cascade, one a quality.
        share: of pictures that ask for high, which decides how much its bytes and its answers count.
    """
    destination(checkpoint, out)
    source = Source.load(checkpoint, data, workers, device)
    card, old = source.card, source.card.profile
    train, calibration = split(source.pictures("train"))
    found = list(_found(source, checkpoint, calibration, sorted(budgets), share, out))
    Console().print(_table(found))
    profile = _profile(old, [step.chosen for step in found], train)
    decided = decide(source.model, profile, calibration, data.name, TOLERANCE, workers)
    card = decided.on(card)
    source.model.mix = None
    save(out, source.model, card)
    Console().print(f"wrote {out}: quality {card.profile.quality}, threshold {card.threshold():.3f}")
    return card


def exact(pictures: Pictures, profile: Profile) -> NDArray[np.float32]:
    """Coefficients float32[N, C, h, w] of all pictures, not rounded."""
    channels = profile.low + profile.high
    shown = tracked(pictures.paths, "coefficients", len(pictures))
    return np.stack([coefficients(fit(open_rgb(path), profile.size), channels) for path in shown])


def coded_share(pictures: Pictures, profile: Profile) -> NDArray[np.float64]:
    """What the codec takes of the bytes that `Rate` estimates, float64[C]: one number a band.

    Measured at the profile's qualities as they are.
    """
    values, channels = exact(pictures, profile), profile.low + profile.high
    fitted = [fit(open_rgb(path), profile.size) for path in pictures.paths]
    logs = []
    for quality in tracked(profile.qualities, "counting bytes", len(profile.qualities)):
        rate = Rate(values, channels, profile.threshold(quality))
        estimate = rate(np.array(profile.steps[profile.index(quality)], float)) + 1e-3
        sent = [encode(rgb, profile, quality) for rgb in fitted]
        means = np.mean([[len(each.low), len(each.high)] for each in sent], axis=0)
        bands = np.split(estimate, [len(profile.low)])
        logs.append(np.log(means / [band.sum() for band in bands]))
    band_share: NDArray[np.float64] = np.exp(np.mean(logs, axis=0))
    return band_share.repeat([len(profile.low), len(profile.high)])


def _found(
    source: Source, checkpoint: str, calibration: Pictures, budgets: Sequence[float], share: float, out: Path
) -> Iterator[Step]:
    """Each budget's steps, from what an earlier run has left or from a search."""
    left = out.with_suffix(".steps.jsonl")
    known = _read(left, key := _key(checkpoint, calibration, share))
    if all(budget in known for budget in budgets):
        yield from (known[budget] for budget in budgets)
        return
    search, judge = _searches(source, calibration, share)
    start: Sequence[float] = [1.0] * len(search.weights)
    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("searching", total=len(budgets) * ROUNDS * len(search.weights))
        for number, budget in enumerate(budgets):
            if budget not in known:
                chosen = search.run(budget, start, done=lambda: bars.advance(bar))
                step = Step(budget, judge.judge(chosen), judge.judge(search.uniform(budget)))
                known[budget] = step
                _write(left, key, known.values())
            bars.update(bar, completed=(number + 1) * ROUNDS * len(search.weights))
            start = known[budget].chosen.steps
            yield known[budget]


def _searches(source: Source, calibration: Pictures, share: float) -> tuple[Search, Search]:
    """On some calibration pictures, and on others to judge what was found."""
    profile, model = source.card.profile, source.model.eval()
    some, others = (
        calibration.take(range(0, len(calibration), 2)),
        calibration.take(range(1, len(calibration), 2)),
    )
    values = exact(some.take(_spread(some, SEARCHED_ON)), profile)
    judged = exact(others.take(_spread(others, JUDGED_ON)), profile) if len(others) else values
    weights = coded_share(calibration.take(_spread(calibration, COUNTED_ON)), profile)
    weights[len(profile.low) :] *= share
    rates = [Rate(values, profile.low + profile.high, threshold) for threshold in THRESHOLDS]
    return (
        Search(model, values, rates, weights, share),
        Search(model, judged, rates, weights, share),
    )


def _spread(pictures: Pictures, most: int) -> range:
    """Indices of at most so many pictures, evenly over all."""
    return range(0, len(pictures), -(-len(pictures) // most))


def _profile(old: Profile, choices: Sequence[Choice], train: Pictures) -> Profile:
    """The old profile with a quality for each choice, coarsest first, and tables to fit."""
    rows = tuple(choice.steps for choice in choices)
    thresholds = tuple(round(100 * choice.threshold) for choice in choices)
    return replace(
        old,
        qualities=tuple(range(1, len(choices) + 1)),
        quality=1,
        steps=rows,
        thresholds=thresholds,
        tables=tables_for(train, old.size, rows, old.low, old.high, thresholds),
    )


def _key(checkpoint: str, calibration: Pictures, share: float) -> str:
    """What a search was made for: another checkpoint, other pictures or another share begin afresh."""
    digest = hashlib.sha256(find(checkpoint).read_bytes())
    digest.update(
        json.dumps(
            [[path.name for path in calibration.paths], share, THRESHOLDS, ROUNDS, SEARCHED_ON]
        ).encode()
    )
    return digest.hexdigest()[:16]


def _read(path: Path, key: str) -> dict[float, Step]:
    if not path.exists():
        return {}
    first, *lines = path.read_text("utf-8").splitlines()
    if first != key:
        return {}
    raw = [json.loads(line) for line in lines]
    return {r["budget"]: Step(r["budget"], _choice(r["chosen"]), _choice(r["uniform"])) for r in raw}


def _choice(raw: dict[str, object]) -> Choice:
    return Choice(**raw | {"steps": tuple(raw["steps"])})  # type: ignore[arg-type]


def _write(path: Path, key: str, steps: Iterable[Step]) -> None:
    part = path.with_suffix(".part")
    part.write_text("\n".join([key, *(json.dumps(asdict(step)) for step in steps)]) + "\n", "utf-8")
    part.replace(path)


def _table(found: Iterable[Step]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        title="Steps chosen for each number of bytes",
        caption="Harm: what rounding does to the answers, in nats, on calibration pictures that the search "
        "did not see; uniform: one step for all channels, no dead zone. Bytes are estimates.",
    )
    for column in ("bytes", "harm", "uniform: bytes", "harm", "rounds up from", "low steps", "high steps"):
        table.add_column(column, justify="right")
    for step in found:
        chosen, uniform = step.chosen, step.uniform
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
