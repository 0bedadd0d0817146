from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from overtone.gpu_server.rest.api import create_app
from overtone.gpu_server.service import Service
from overtone.gpu_server.settings import Settings
from tests.deploy.stack import DEPLOY, metrics, names, read

FOLDER = DEPLOY / "kubernetes"
# The minor version of Kubernetes whose schemas are asked.
VERSION = "1.33"


def manifests() -> dict[str, dict[str, Any]]:
    """The objects of overtone.yaml, by kind."""
    found = yaml.safe_load_all((FOLDER / "overtone.yaml").read_text())
    return {each["kind"]: each for each in found}


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = manifests()["Deployment"]["spec"]["template"]["spec"]
    return spec


def server() -> dict[str, Any]:
    (container,) = pod()["containers"]
    found: dict[str, Any] = container
    return found


def test_schemas_accept_the_manifests() -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for manifest in manifests().values():
        validator.validate(manifest, VERSION, strict=True)


def test_a_gpu_is_added_to_a_valid_deployment() -> None:
    (patched,) = read(FOLDER / "gpu.yaml")["spec"]["template"]["spec"]["containers"]
    assert patched["name"] == server()["name"]
    (variable,) = patched["env"]
    assert variable["name"].removeprefix("OVERTONE_").lower() in Settings.model_fields
    limits, requests = patched["resources"]["limits"], patched["resources"]["requests"]
    assert limits.keys() - requests.keys() == {"nvidia.com/gpu"}


def test_settings_exist_and_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in manifests()["ConfigMap"]["data"].items():
        assert name.removeprefix("OVERTONE_").lower() in Settings.model_fields
        monkeypatch.setenv(name, value)
    given = Settings()
    # Kubernetes waits so long before it kills; the server needs a second more to close connections.
    assert given.pause + given.drain + 1 < pod()["terminationGracePeriodSeconds"]


def test_ports_are_the_settings() -> None:
    inside = {port["name"]: port["containerPort"] for port in server()["ports"]}
    admin = inside.pop("admin")
    assert f"OVERTONE_ADMIN_PORT={admin}" in (DEPLOY / "Dockerfile.server").read_text()
    scraped = manifests()["Deployment"]["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"]
    assert scraped == str(admin)
    fields = Settings.model_fields
    assert inside == {"grpc": fields["grpc_port"].default, "http": fields["http_port"].default}
    outside = manifests()["Service"]["spec"]["ports"]
    assert {port["targetPort"]: port["port"] for port in outside} == inside


async def test_probes_ask_for_pages_that_exist() -> None:
    transport = httpx.ASGITransport(create_app(Service(Settings())))
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            reply = await http.get(server()[kind]["httpGet"]["path"])
            assert reply.status_code in (httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE)
    # A server that drains or loads must not be restarted for it.
    assert server()["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_everything_selects_the_pods() -> None:
    found = manifests()
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Service"]["spec"]["selector"] == labels
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert found[kind]["spec"]["selector"]["matchLabels"] == labels
    assert found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "overtone"


def test_the_pod_runs_as_the_image_does() -> None:
    user = pod()["securityContext"]["runAsUser"]
    assert f"USER {user}" in (DEPLOY / "Dockerfile.server").read_text()
    assert server()["securityContext"]["readOnlyRootFilesystem"]


def test_the_autoscaler_goes_by_a_series_that_the_server_exposes() -> None:
    (rule,) = read(FOLDER / "prometheus-adapter.yaml")["rules"]["custom"]
    used = names(rule["seriesQuery"]) | names(rule["metricsQuery"])
    assert used <= metrics()
    asked = [m["pods"]["metric"]["name"] for m in autoscaler_metrics() if m["type"] == "Pods"]
    assert asked == [rule["name"]["as"]]


def autoscaler_metrics() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = manifests()["HorizontalPodAutoscaler"]["spec"]["metrics"]
    return found


def test_the_docs_name_every_file() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
    for file in FOLDER.iterdir():
        assert f"deploy/kubernetes/{file.name}" in docs
