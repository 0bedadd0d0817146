"""Tables and JSON of `overtone calibrate`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from overtone.models import Card, Mix, OperatingPoint
from overtone.training.certificate import Wish
from overtone.training.deferral import Against
from overtone.training.mix import Judged
from overtone.training.simulate import Kept


def points(card: Card, fresh: Sequence[OperatingPoint], out: str, as_json: bool) -> None:
    """The certificates that were made, and where they stand now."""
    if as_json:
        made = [p.model_dump(mode="json", exclude_none=True) for p in fresh]
        head = {"checkpoint": out, "name": card.name, "profile": card.profile.id.hex()}
        fitted = {"temperature": card.temperature.model_dump(), "mix": card.mix and card.mix.model_dump()}
        print(json.dumps(head | fitted | {"default": card.operating_point, "operating_points": made}))
        return
    t = card.temperature
    table = Table(title=f"{card.name}: temperatures {t.low:.3f} low, {t.high:.3f} high{_mix(card.mix)}")
    for column in ("point", "quality", "threshold", "promise", "lost", "answered low", "bytes", "note"):
        table.add_column(column, justify="left" if column in ("point", "promise", "note") else "right")
    for p in fresh:
        name = f"[bold]{p.name}[/]" if p.name == card.operating_point else p.name
        lost = f"{p.k} of {p.n}"
        share = f"{p.exit_share or 0:.1%}"
        table.add_row(
            name,
            str(p.quality),
            f"{p.threshold:.4f}",
            promise(p),
            lost,
            share,
            f"{p.mean_bytes:.0f}",
            note(p),
        )
    Console().print(table)
    Console().print(f"wrote {out}; certified for profile {card.profile.id.hex()}", soft_wrap=True)


def promise(p: OperatingPoint | Wish) -> str:
    """A promise in words."""
    if p.alpha is not None and p.delta is not None:
        return f"loses at most {p.alpha:.2%}, {1 - p.delta:.0%} sure"
    if p.alpha is not None:
        return f"loses at most {p.alpha:.2%} on average"
    if p.share is not None:
        return f"asks for high in at most {p.share:.1%}"
    most = p.bytes if isinstance(p, OperatingPoint) else p.mean_bytes
    return "nothing" if most is None else f"takes at most {most:.0f} bytes on average"


def note(p: OperatingPoint) -> str:
    """What a person should know of a point besides its numbers."""
    if p.alpha is not None and p.n < (needs := Wish(p.name, p.alpha, p.delta).needs):
        return f"never answers early: needs {needs} pictures"
    if p.rule is not None:
        return "weighs bytes; the threshold is for unknown sizes"
    return "never answers early" if p.threshold > 1 else ""


def promises(kept: Sequence[Kept], what: str, as_json: bool) -> None:
    """How promises fared."""
    if as_json:
        print(json.dumps([asdict(k) | {"holds": k.holds} for k in kept]))
        return
    first = kept[0]
    title = f"{what}: {first.splits} random splits, {first.n} pictures to calibrate on"
    caption = "on average: mean over the rest; sure: how often the risk over all pictures passes the bound"
    table = Table(title=title, caption=caption)
    for column in ("point", "promise", "bound", "found", "±", "kept", "passed on the rest", "answered low"):
        table.add_column(column, justify="left" if column in ("point", "promise") else "right")
    for k in kept:
        figures = (f"{x:.2f}" if x > 1 else f"{x:.2%}" for x in (k.promised, k.found, k.error))
        passed = "" if k.passed_on_rest is None else f"{k.passed_on_rest:.1%}"
        kept_word = "yes" if k.holds else "[red]no[/]"
        table.add_row(k.wish.name, promise(k.wish), *figures, kept_word, passed, f"{k.exit_share:.1%}")
    Console().print(table)


def mixes(found: Mapping[str, Mapping[str, Judged]], fitted: Mix, as_json: bool) -> None:
    """What mixing gains."""
    if as_json:
        rows = {data: {name: asdict(j) for name, j in judged.items()} for data, judged in found.items()}
        print(json.dumps({"mix": fitted.model_dump(), "on": rows}))
        return
    for data, judged in found.items():
        table = Table(
            title=f"the high answer on {data}", caption=f"fitted{_mix(fitted)}; ± one standard error"
        )
        for column in (
            "high answer",
            "top-1",
            "gain",
            "log-loss",
            "cascade",
            "gain",
            "answered low",
            "bytes",
        ):
            table.add_column(column, justify="left" if column == "high answer" else "right")
        for name, j in judged.items():
            gain = f"{100 * j.gain:+.2f} ± {100 * j.error:.2f}"
            cascade_gain = f"{100 * j.cascade_gain:+.2f} ± {100 * j.cascade_error:.2f}"
            row = f"{j.both:.2%}", gain, f"{j.nll:.4f}", f"{j.cascade:.2%}", cascade_gain
            table.add_row(name, *row, f"{j.exit_share:.1%}", f"{j.mean_bytes:.0f}")
        Console().print(table)


def rules(found: Mapping[str, Mapping[str, Against]]) -> None:
    """What rules gain over plain confidence."""
    for data, rows in found.items():
        table = Table(title=f"high is asked for by, on {data}", caption="points of top-1 at the same bytes")
        for column in ("rule", "gain over confidence", "95 % interval", "holds"):
            table.add_column(column, justify="left" if column == "rule" else "right")
        for name, line in rows.items():
            interval = f"{100 * line.lower:+.2f} to {100 * line.upper:+.2f}"
            table.add_row(name, f"{100 * line.advantage:+.2f}", interval, "yes" if line.holds else "")
        Console().print(table)


def _mix(mix: Mix | None) -> str:
    return f", high mixed {mix.low:.2f} low + {mix.high:.2f} high" if mix else ""
