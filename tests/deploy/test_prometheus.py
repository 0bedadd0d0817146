import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.stack import PROMETHEUS, expressions, metrics, names, read, recorded, rules, services


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool; it comes with Prometheus")
    return found


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_use_series_that_exist() -> None:
    known = metrics() | recorded()
    for rule in (*rules("rules.yml"), *rules("alerts.yml")):
        assert names(rule["expr"]) <= known, rule


def test_every_recorded_series_is_used() -> None:
    used = set().union(*(names(rule["expr"]) for rule in rules("alerts.yml")))
    assert recorded() <= used.union(*map(names, expressions()))


def test_every_alert_is_tested_and_explained() -> None:
    alerts = {rule["alert"] for rule in rules("alerts.yml")}
    tested = {
        case["alertname"]
        for test in read(PROMETHEUS / "tests.yml")["tests"]
        for case in test.get("alert_rule_test", [])
        if case["exp_alerts"]
    }
    assert alerts == tested
    told = (PROMETHEUS.parents[1] / "docs" / "deploy.md").read_text()
    assert all(f"`{alert}`" in told for alert in alerts)


def test_configuration_names_files_and_servers_that_exist() -> None:
    configuration = read(PROMETHEUS / "prometheus.yml")
    assert {"rules.yml", "alerts.yml"} == set(configuration["rule_files"])
    by_name = {job["job_name"]: job for job in configuration["scrape_configs"]}
    (discovery,) = by_name["overtone"]["dns_sd_configs"]
    for server in ("server", "server-gpu"):
        assert services()[server]["networks"]["default"]["aliases"] == discovery["names"]
        assert services()[server]["ports"][2].endswith(f":{discovery['port']}")


def test_promtool_takes_the_configuration(promtool: str) -> None:
    run(promtool, "check", "config", "prometheus.yml")


def test_promtool_finds_the_rules_right(promtool: str) -> None:
    run(promtool, "test", "rules", "tests.yml")


def test_promtool_reads_every_panel(promtool: str, tmp_path: Path) -> None:
    made = [{"record": f"panel:{i}", "expr": expression} for i, expression in enumerate(expressions())]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": made}]}))
    run(promtool, "check", "rules", str(file))
