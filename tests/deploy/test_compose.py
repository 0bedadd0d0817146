import re
import shlex
from pathlib import Path

import pytest

from overtone.gpu_server.settings import Settings
from tests.deploy.stack import DEPLOY, ROOT, interpolated, read, services

SERVERS = ("server", "server-gpu")
LINKS = {"link": 50051, "link-http": 8080}
# Variables that were renamed and still work, but are no longer documented.
OLD = {"PICTURES"}


@pytest.mark.parametrize("name", SERVERS)
def test_servers_are_given_settings_that_exist(name: str) -> None:
    prefix = Settings.model_config["env_prefix"]
    given = [each for each in services()[name]["environment"] if each.startswith(prefix)]
    assert {each.removeprefix(prefix).lower() for each in given} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", SERVERS)
def test_ports_are_the_settings(name: str) -> None:
    inside = [int(port.rsplit(":", 1)[1]) for port in services()[name]["ports"]]
    assert inside[:2] == [Settings.model_fields[port].default for port in ("grpc_port", "http_port")]
    image = (DEPLOY / "Dockerfile.server").read_text()
    for port, number in zip(("GRPC_PORT", "HTTP_PORT", "ADMIN_PORT"), inside, strict=True):
        assert f"OVERTONE_{port}={number}" in image


@pytest.mark.parametrize("name", services())
def test_ports_are_published_on_this_machine_only_by_default(name: str) -> None:
    for port in services()[name].get("ports", []):
        assert interpolated(port).startswith("127.0.0.1:")


@pytest.mark.parametrize(("name", "port"), LINKS.items())
def test_links_lead_to_the_servers(name: str, port: int) -> None:
    service = services()[name]
    given = dict(word.split("=") for word in interpolated(service["command"]).split() if "=" in word)
    (alias,) = services()["server"]["networks"]["default"]["aliases"]
    assert given["--to"] == f"{alias}:{port}"
    assert given["--listen"] == f"0.0.0.0:{port}"
    assert f"127.0.0.1:{port}" in service["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", LINKS)
def test_links_are_given_options_that_exist(name: str) -> None:
    from typer.main import get_group

    from overtone.cli import app
    from overtone.link.profiles import PROFILES

    words = interpolated(services()[name]["command"]).split()
    parsed = get_group(app).commands["link"].make_context("link", words)
    assert parsed.params["profile"] in PROFILES
    assert parsed.params["per_connection"]


def locust_options() -> set[str]:
    """The options of locust, and those that benchmarks/load/options.py adds."""
    from importlib.util import find_spec

    spec = find_spec("locust")
    assert spec is not None
    assert spec.origin is not None
    sources = (Path(spec.origin).parent / "argument_parser.py", ROOT / "benchmarks" / "load" / "options.py")
    return {option for source in sources for option in re.findall(r'"(--?[a-z-]+)"', source.read_text())}


@pytest.mark.parametrize("name", ["locust", "load"])
def test_locust_is_given_options_that_exist(name: str) -> None:
    service = services()[name]
    words = service["entrypoint"][1:] + shlex.split(interpolated(service["command"]))
    options = {word.split("=")[0] for word in words if word.startswith("-")}
    assert options
    assert options <= locust_options()


def test_the_load_ends_by_itself_and_says_whether_it_failed() -> None:
    words = services()["load"]["command"].split()
    assert {"--headless", "--run-time", "--exit-code-on-error"} <= set(words)
    assert services()["load"]["restart"] == "no"


def test_locust_goes_through_the_links() -> None:
    for name in ("locust", "load"):
        service = services()[name]
        assert "--host=grpc://link:50051" in service["entrypoint"]
        assert "--http=http://link-http:8080" in service["entrypoint"]
        assert set(service["depends_on"]) == set(LINKS)


@pytest.mark.parametrize("name", services())
def test_services_are_bounded_and_cannot_gain_rights(name: str) -> None:
    service = services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    limits = service["deploy"]["resources"]["limits"]
    assert {"memory", "pids"} <= set(limits)
    assert service["read_only"] or name == "grafana"


def test_only_the_gpu_and_the_load_test_have_a_profile() -> None:
    profiles = {name: service["profiles"] for name, service in services().items() if "profiles" in service}
    assert profiles == {"server-gpu": ["gpu"], "load": ["load"]}
    (device,) = services()["server-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_every_variable_is_documented() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    used = set(re.findall(r"\$\{(\w+)", compose))
    used |= {name for service in services().values() for name in passed_on(service)}
    documented = set(re.findall(r"^# ?(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert used - OLD == documented


def passed_on(service: dict[str, object]) -> set[str]:
    """Variables without a value in the file, which Compose passes on if they are set."""
    environment = service.get("environment", {})
    assert isinstance(environment, dict)
    return {name for name, value in environment.items() if value is None}


def test_both_servers_are_passed_the_same() -> None:
    assert passed_on(services()["server"]) == passed_on(services()["server-gpu"])


def test_volumes_that_are_used_are_declared() -> None:
    used = {volume.split(":")[0] for service in services().values() for volume in service.get("volumes", [])}
    named = {volume for volume in used if re.fullmatch(r"\w+", volume)}
    assert named == set(read(ROOT / "docker-compose.yml")["volumes"])
