"""The document of `overtone bench serve`, its table on the console, and that of docs/serving.md."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console
from rich.table import Table

from overtone.benchmarks import pages
from overtone.benchmarks.markdown import table
from overtone.benchmarks.serve.workload import Network

Json = dict[str, Any]
DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "serving.md"
LOG = DOCS / "runs" / "serve.json"
GROUPS = ("bare", "ours", "peers")
HEAD = ("", "network", "images/s", "lowest, highest", "CPU ms an image", "p50 ms", "p99 ms")


def document(
    about: Json, setup: Json, runs: Mapping[tuple[str, str, Network], Sequence[Json]], notes: Sequence[str]
) -> Json:
    """The document of `serve.json`: means over the rounds, and ratios of them."""
    found: Json = {"about": about, "setup": setup, **{group: [] for group in GROUPS}}
    for (group, name, network), measured in runs.items():
        found[group].append(_entry(name, network, measured))
    return found | _ratios(found) | {"notes": list(notes)}


def _entry(name: str, network: str, runs: Sequence[Json]) -> Json:
    averaged = ("images_per_second", "cpu_ms_per_image", "p50_ms", "p99_ms", "generator_busy")
    means: Json = {key: round(mean(run[key] for run in runs), 3) for key in averaged if key in runs[0]}
    batches: Json = {key: runs[-1][key] for key in ("size", "threads") if key in runs[-1]}
    failed: Json = {"failed": sum(run["failed"] for run in runs)} if "failed" in runs[0] else {}
    each = [round(run["images_per_second"], 1) for run in runs]
    return {"name": name, "network": network, **means, **batches, **failed, "rounds": each}


def _ratios(found: Json) -> dict[str, float | None]:
    """Ratios of our sessions, and of our REST, to the bare network and to the best peer."""
    ratios: dict[str, float | None] = {}
    for prefix, name in (("", "gRPC sessions"), ("rest_", "REST")):
        real, stub = (_rate(found["ours"], network, name) for network in ("real", "stub"))
        bare = _rate(found["bare"], "real", found["setup"]["stage"])
        ratios[f"{prefix}ratio_bare"] = _ratio(real, bare)
        ratios[f"{prefix}ratio_peers"] = _ratio(real, _rate(found["peers"], "real"))
        ratios[f"{prefix}ratio_peers_stub"] = _ratio(stub, _rate(found["peers"], "stub"))
    return ratios


def _rate(entries: Sequence[Json], network: str, name: str | None = None) -> float | None:
    """Images per second of the named entry, or of the best."""
    chosen = [e for e in entries if e["network"] == network and name in (None, e["name"])]
    return max((entry["images_per_second"] for entry in chosen), default=None)


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return round(ours / theirs, 3) if ours and theirs else None


def show(found: Json, console: Console | None = None) -> None:
    """Print table, ratios and notes."""
    console = console or Console()
    printed = Table(*HEAD)
    for row in rows(found):
        printed.add_row(*row)
    console.print(printed)
    for line in (*ratio_lines(found), *found["notes"]):
        console.print(line, highlight=False)


def rows(found: Json) -> list[Sequence[str]]:
    """The rows of the table, one for each server and network."""
    return [_row(group, entry) for group in GROUPS for entry in found[group]]


def _row(group: str, entry: Json) -> Sequence[str]:
    name = f"Overtone, {entry['name']}" if group == "ours" else entry["name"]
    if group == "bare":
        threads = f", {entry['threads']} at a time" if entry["threads"] > 1 else ""
        name = f"bare {name} network, batches of {entry['size']}{threads}"
    latency = [f"{entry[key]:,.0f}" if key in entry else "–" for key in ("p50_ms", "p99_ms")]
    spread = f"{min(entry['rounds']):,.0f}, {max(entry['rounds']):,.0f}"
    speed = f"{entry['images_per_second']:,.0f}"
    return (name, entry["network"], speed, spread, f"{entry['cpu_ms_per_image']:.2f}", *latency)


def ratio_lines(found: Json) -> list[str]:
    """The ratios in sentences."""
    lines = []
    for prefix, name in (("", "Overtone's sessions"), ("rest_", "Overtone's REST")):
        against = {
            "ratio_bare": "{} times the bare network's images/s",
            "ratio_peers": "{} times the best other server's",
            "ratio_peers_stub": "with the stub {} times the best other server's",
        }
        known = [
            what.format(f"{found[prefix + key]:.2f}")
            for key, what in against.items()
            if found[prefix + key] is not None
        ]
        if known:
            lines.append(f"{name} reach {'; '.join(known)}.".replace("REST reach", "REST reaches"))
    return lines


def logged() -> Json:
    """The document that was kept in docs/runs.

    Raises:
        OSError: there is none.
    """
    found: Json = json.loads(LOG.read_text("utf-8"))
    return found


def write_page(found: Json) -> None:
    """Keep the document in docs/runs, and put its table into docs/serving.md.

    Raises:
        PageError: the page is not there, or has no markers.
    """
    LOG.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    pages.fill(PAGE, {"serve": markdown(found)})


def markdown(found: Json) -> str:
    """The table, how it was measured, and the ratios."""
    about, setup = found["about"], found["setup"]
    how = (
        f"Measured on {about['processor']}, {about['cores']} cores, load {about['load']} before, {about['when']}: "
        f"checkpoint `{setup['model']}`, {setup['stage']} network, {setup['payload_bytes']:.0f} payload bytes "
        f"an image, {setup['in_flight']} images in flight, {setup['rounds']} rounds of {setup['seconds']:g} s; peers "
        f"with {setup['peer_workers']} workers and batches of up to {setup['peer_batch']}."
    )
    return "\n\n".join([table(HEAD, rows(found), 2), *ratio_lines(found), how, *found["notes"]])
