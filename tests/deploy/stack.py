"""The files of the compose stack, parsed."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
OURS = re.compile(r"\bovertone[a-z_]*[:_][a-z0-9_:]+")


def read(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text())


def services() -> dict[str, dict[str, Any]]:
    """The services of docker-compose.yml, with anchors resolved and variables left as they are."""
    found: dict[str, dict[str, Any]] = read(ROOT / "docker-compose.yml")["services"]
    return found


def interpolated(text: str) -> str:
    """The text as Compose reads it if no variable is set: with the defaults of ${NAME:-default} and ${NAME:+set}."""
    return re.sub(r"\$\{\w+(?::-([^}]*)|:\+[^}]*)?\}", lambda found: found[1] or "", text)


def rules(name: str) -> list[dict[str, Any]]:
    """All rules of one of Prometheus' files."""
    return [rule for group in read(PROMETHEUS / name)["groups"] for rule in group["rules"]]


def recorded() -> set[str]:
    """The names of the series that recording rules make."""
    return {rule["record"] for rule in rules("rules.yml")}


def metrics() -> set[str]:
    """The names of all series that a server exposes, those of histograms included."""
    from overtone.gpu_server.telemetry.metrics import Metrics

    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    return {
        family.name + suffix for family in Metrics().registry.collect() for suffix in suffixes[family.type]
    }


def names(expression: str) -> set[str]:
    """The names of our series in a PromQL expression."""
    return {name for name in OURS.findall(expression) if not name.endswith(":")}


def dashboard() -> dict[str, Any]:
    """The dashboard of Grafana."""
    found: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "overtone.json").read_text())
    return found


def expressions() -> list[str]:
    """The expressions of all panels, with the dashboard's variable filled in."""
    value = dashboard()["templating"]["list"][0]["query"]
    return [
        target["expr"].replace("$jpeg_bytes", value)
        for panel in dashboard()["panels"]
        for target in panel["targets"]
    ]
