from pathlib import Path

import pytest
from typer.testing import CliRunner

import overtone.gpu_server.serve
from overtone.gpu_server.cli import app
from overtone.gpu_server.settings import Settings


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings with which servers would have been started."""
    found: list[Settings] = []
    monkeypatch.setattr(overtone.gpu_server.serve, "run", found.append)
    return found


def test_every_option_is_a_setting(served: list[Settings]) -> None:
    options = "--model m --host h --grpc-port 1 --http-port 2 --token a --token b --device cpu --threads 3"
    more = "--tokens-file t --admin-port 4 --log-format json --access-log --log-level error"
    done = CliRunner().invoke(app, ["serve", *options.split(), *more.split()])
    assert done.exit_code == 0, done.output
    (settings,) = served
    given = {name: getattr(settings, name) for name in ("model", "host", "grpc_port", "http_port", "device")}
    assert given == {"model": "m", "host": "h", "grpc_port": 1, "http_port": 2, "device": "cpu"}
    assert (settings.tokens, settings.threads, settings.log_level) == (("a", "b"), 3, "error")
    assert (settings.tokens_file, settings.admin_port) == (Path("t"), 4)
    assert (settings.log_format, settings.access_log) == ("json", True)


def test_the_model_may_be_named_without_its_option(served: list[Settings]) -> None:
    assert CliRunner().invoke(app, ["serve", "boxes.safetensors", "--threads", "2"]).exit_code == 0
    assert (served[0].model, served[0].threads) == ("boxes.safetensors", 2)
    twice = CliRunner().invoke(app, ["serve", "boxes.safetensors", "--model", "m"])
    assert twice.exit_code == 2
    assert "once" in twice.output


def test_options_of_several_models(served: list[Settings]) -> None:
    options = "--models d --default-model a --canary a:2=0.5 --canary b:3=1 --shadow a:4=0"
    assert CliRunner().invoke(app, ["serve", *options.split()]).exit_code == 0
    (settings,) = served
    assert (settings.models, settings.default_model) == (Path("d"), "a")
    assert [(str(each.model), each.share) for each in settings.canary] == [("a:2", 0.5), ("b:3", 1.0)]
    assert [(str(each.model), each.share) for each in settings.shadow] == [("a:4", 0.0)]


def test_what_is_not_given_comes_from_the_environment(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OVERTONE_TOKENS", "secret")
    monkeypatch.setenv("OVERTONE_HTTP_PORT", "5")
    assert CliRunner().invoke(app, ["serve", "--http-port", "6"]).exit_code == 0
    (settings,) = served
    assert (settings.tokens, settings.http_port) == (("secret",), 6)


def test_a_wrong_option_is_named_as_it_was_given(served: list[Settings]) -> None:
    done = CliRunner().invoke(app, ["serve", "--log-level", "loud"])
    assert done.exit_code == 1
    assert "--log-level: " in done.output
    assert not served


def test_help_has_examples() -> None:
    assert "overtone serve mine.safetensors" in CliRunner().invoke(app, ["serve", "--help"]).output
