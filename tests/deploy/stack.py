"""The files of the compose stack, read as their readers read them."""

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
    """Of docker-compose.yml, anchors resolved, variables as they are written."""
    found: dict[str, dict[str, Any]] = read(ROOT / "docker-compose.yml")["services"]
    return found


def interpolated(text: str) -> str:
    """With each variable's default, as compose does where nothing is set: ${NAME:-default}, ${NAME:+set}."""
    return re.sub(r"\$\{\w+(?::-([^}]*)|:\+[^}]*)?\}", lambda found: found[1] or "", text)


def rules(name: str) -> list[dict[str, Any]]:
    """All rules of a file of Prometheus'."""
    return [rule for group in read(PROMETHEUS / name)["groups"] for rule in group["rules"]]


def recorded() -> set[str]:
    """The names that recording rules give."""
    return {rule["record"] for rule in rules("rules.yml")}


def metrics() -> set[str]:
    """The names of all series a server exposes, histograms' parts among them."""
    from overtone.gpu_server.metrics import Metrics

    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    return {
        family.name + suffix for family in Metrics().registry.collect() for suffix in suffixes[family.type]
    }


def names(expression: str) -> set[str]:
    """Our series in a PromQL expression."""
    return {name for name in OURS.findall(expression) if not name.endswith(":")}


def dashboard() -> dict[str, Any]:
    """Grafana's."""
    found: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "overtone.json").read_text())
    return found


def expressions() -> list[str]:
    """Of all the dashboard's panels, its variable filled in."""
    value = dashboard()["templating"]["list"][0]["query"]
    return [
        target["expr"].replace("$jpeg_bytes", value)
        for panel in dashboard()["panels"]
        for target in panel["targets"]
    ]
