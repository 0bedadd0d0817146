"""The tables and the JSON that `overtone calibrate` prints."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from overtone.models import Card, Mix, OperatingPoint
from overtone.training.calibration.risk_targets import RiskTarget
from overtone.training.calibration.simulation import Trial


def report_points(card: Card, fresh: Sequence[OperatingPoint], out: str, as_json: bool) -> None:
    """Print the operating points that were certified, and the file they were written to."""
    if as_json:
        points = [p.model_dump(mode="json", exclude_none=True) for p in fresh]
        head = {"checkpoint": out, "name": card.name, "profile": card.profile.id.hex()}
        fitted = {"temperatures": card.temperatures, "mix": card.mix and card.mix.model_dump()}
        print(json.dumps(head | fitted | {"default": card.operating_point, "operating_points": points}))
        return
    rows = [
        (
            f"[bold]{p.name}[/]" if p.name == card.operating_point else p.name,
            str(p.quality),
            thresholds(p),
            guarantee(p),
            f"{p.k} of {p.n}",
            f"{p.exit_share or 0:.1%}",
            f"{p.mean_bytes:.0f}",
            note(p),
        )
        for p in fresh
    ]
    _show(
        f"{card.name}: temperatures {', '.join(f'{t:.3f}' for t in card.temperatures)}{_mix(card.mix)}",
        ("point", "quality", "threshold", "guarantee", "lost", "answered low", "bytes", "note"),
        rows,
    )
    Console().print(f"wrote {out}; certified for profile {card.profile.id.hex()}", soft_wrap=True)


def thresholds(p: OperatingPoint) -> str:
    """The thresholds after each layer; in brackets, the confidence below which all further layers are requested."""
    below = p.all_below or (0.0,) * len(p.thresholds)
    each = (f"{t:.4f}" + (f" ({a:.4f})" if a else "") for t, a in zip(p.thresholds, below, strict=True))
    return ", ".join(each)


def guarantee(p: OperatingPoint | RiskTarget) -> str:
    """A guarantee in words."""
    if p.alpha is not None and p.delta is not None:
        return f"loses at most {p.alpha:.2%}, {1 - p.delta:.0%} sure"
    if p.alpha is not None:
        return f"loses at most {p.alpha:.2%} on average"
    if p.share is not None:
        return f"requests more for at most {p.share:.1%}"
    most = p.bytes if isinstance(p, OperatingPoint) else p.mean_bytes
    return "nothing" if most is None else f"takes at most {most:.0f} bytes on average"


def note(p: OperatingPoint) -> str:
    """Why a point answers nothing early, if so."""
    if p.alpha is not None and p.n < (needs := RiskTarget(p.name, p.alpha, p.delta).needs):
        return f"never answers early: needs {needs} images"
    return "never answers early" if min(p.thresholds) > 1 else ""


def report_trials(trials: Sequence[Trial], what: str, as_json: bool) -> None:
    """Print how often guarantees held over random splits."""
    if as_json:
        print(json.dumps([asdict(trial) | {"holds": trial.holds} for trial in trials]))
        return
    rows = [
        (
            trial.target.name,
            guarantee(trial.target),
            *(f"{x:.2f}" if x > 1 else f"{x:.2%}" for x in (trial.bound, trial.found, trial.error)),
            "yes" if trial.holds else "[red]no[/]",
            "" if trial.exceeded_on_rest is None else f"{trial.exceeded_on_rest:.1%}",
            f"{trial.exit_share:.1%}",
        )
        for trial in trials
    ]
    _show(
        f"{what}: {trials[0].splits} random splits, {trials[0].n} images to calibrate on",
        ("point", "guarantee", "bound", "found", "±", "holds", "exceeded on the rest", "answered low"),
        rows,
        "on average: mean over the rest; sure: how often the risk over all images exceeds alpha",
    )


def report_mixes(found: Mapping[str, Mapping[str, Mapping[str, float]]], fitted: Mix, as_json: bool) -> None:
    """Print the gain of each way of mixing on each split."""
    if as_json:
        print(json.dumps({"mix": fitted.model_dump(), "on": found}))
        return
    head = "high answer", "top-1", "gain", "log-loss"
    for data, ways in found.items():
        rows = [
            (
                name,
                f"{way['both']:.2%}",
                f"{100 * way['gain']:+.2f} ± {100 * way['error']:.2f}",
                f"{way['nll']:.4f}",
            )
            for name, way in ways.items()
        ]
        _show(f"the high answer on {data}", head, rows, f"fitted{_mix(fitted)}; ± one standard error")


def _show(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], caption: str | None = None) -> None:
    table = Table(title=title, caption=caption)
    for column in head:
        text = column in ("point", "guarantee", "note", "high answer")
        table.add_column(column, justify="left" if text else "right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _mix(mix: Mix | None) -> str:
    return f", high mixed {mix.low:.2f} low + {mix.high:.2f} high" if mix else ""
