"""The command line as a person meets it: one line that says what to do, and the right exit code."""

import errno
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from overtone import __version__, command
from overtone.cli import app

runner = CliRunner()


@pytest.mark.parametrize(
    "command",
    [
        *("classify", "watch", "c-profile", "describe", "serve", "token", "models"),
        *("train", "adapt", "evaluate", "calibrate", "demo", "bench", "link"),
    ],
)
def test_every_command_explains_itself(command: str) -> None:
    found = runner.invoke(app, [command, "--help"])
    assert found.exit_code == 0
    assert "Usage" in found.output


@pytest.mark.parametrize(
    ("group", "option", "commands"),
    [("train", "--epochs", ("average", "codec")), ("calibrate", "--alpha", ("simulate", "mix"))],
)
def test_help_of_a_group_shows_its_commands_and_options(
    group: str, option: str, commands: tuple[str, ...]
) -> None:
    shown = runner.invoke(app, [group, "--help"]).output
    assert option in shown
    assert f"overtone {group} " in shown, "an example"
    for name in commands:
        assert f"{name} " in shown
        alone = runner.invoke(app, [group, name, "--help"]).output
        assert f"{group} {name}" in alone
        assert "Example" in alone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "nowhere", "--data", "."], "no such checkpoint"),
        (["train", "nothing", "--data", "."], "no such recipe"),
        (["train", "codce", "imagenette"], "no recipe or subcommand 'codce'; did you mean 'codec'?"),
        (["calibrate", "simulat", "--data", "."], "no checkpoint or subcommand 'simulat'; did you mean"),
        (["train", "--data", ".", "nothing"], "no such recipe"),
        (["train", "imagenette", "--data", "/nowhere"], "no such folder"),
        (["evaluate", "imagenette", "--data", ".", "--device", "toaster"], "not a device"),
        (["train", "imagenette", "--data", ".", "--out", "file"], "file: a file; a run takes a folder"),
        (["train", "imagenette", "--data", ".", "--size", "0"], "size: "),
        (["train", "imagenette", "--data", ".", "--epochs", "x"], "--epochs x: give"),
        (["train", "codec", "imagenette", "--data", ".", "--out", "o", "--bytes", "x"], "--bytes x: give"),
        (["bench", "sweep", "."], ".: a folder; give a TOML file"),
        (["bench", "sweep", "short", "--data", "/nowhere"], "/nowhere: no such folder"),
        (["bench", "sweep", "short", "--data", "pictures", "--out", "file"], "file: File exists"),
        (["serve", "--grpc-port", "99999"], "--grpc-port: "),
        (["link", "--to", "127.0.0.1:1", "--rate", "fast"], "fast"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("pictures").mkdir()
    Path("pictures", "0.jpg").touch()
    found = runner.invoke(app, arguments)
    assert found.exit_code not in (0, None)
    assert message in found.stderr
    assert "Traceback" not in found.output
    assert len(found.stderr.strip().splitlines()) == 1
    assert found.stdout == ""


def test_a_missing_extra_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    with pytest.raises(Exception, match="1"):
        command.call("train", "train", run)
    assert "pip install 'overtone[train]'" in capsys.readouterr().err


def test_evaluate_prints_the_promised_keys(tiny_checkpoint: Path, labelled_folder: Path) -> None:
    found = runner.invoke(
        app, ["evaluate", str(tiny_checkpoint), "--data", str(labelled_folder), "--json", "--workers", "0"]
    )
    assert found.exit_code == 0, found.output
    assert found.stdout.count("\n") == 1
    printed = json.loads(found.stdout)
    assert printed["n"] == 4
    assert printed["size"] == 64
    assert printed["quality"] == 2
    assert printed["threshold"] == 0.5
    for mode in ("low", "both", "cascade"):
        assert 0 <= printed[mode]["top1"] <= 1
    assert 0 <= printed["cascade"]["exit_share"] <= 1
    assert printed["cascade"]["mean_payload_bytes"] > 0


def test_the_version_is_printed() -> None:
    found = runner.invoke(app, ["--version"])
    assert found.exit_code == 0
    assert found.stdout == f"overtone {__version__}\n"


def test_examples_are_shown_line_by_line() -> None:
    for arguments in ([], ["classify"]):
        lines = runner.invoke(app, [*arguments, "--help"]).stdout.splitlines()
        shown = [line.rstrip() for line in lines[lines.index(next(x for x in lines if "Examples:" in x)) :]]
        assert "   overtone classify photograph.jpg" in shown


def test_without_arguments_the_help_lists_the_commands_in_groups() -> None:
    shown = runner.invoke(app, []).output
    assert shown.strip() == runner.invoke(app, ["--help"]).output.strip()
    _, *panels = re.split(r"╭─ (Device|Server|Training|Bench) ─", shown)
    commands = {
        name: set(re.findall(r"^│ ([a-z-]+)  ", panel, re.MULTILINE))
        for name, panel in zip(panels[::2], panels[1::2], strict=True)
    }
    assert commands == {
        "Device": {"classify", "detect", "watch", "c-profile", "describe"},
        "Server": {"serve", "token", "models"},
        "Training": {"train", "adapt", "evaluate", "calibrate"},
        "Bench": {"demo", "bench", "link"},
    }


def complete(words: str, shell: str = "bash") -> str:
    """What the shell is told when somebody presses the tab key after these words."""
    environment = {
        "_OVERTONE_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
        "_TYPER_COMPLETE_ARGS": words,
    }
    return runner.invoke(app, [], prog_name="overtone", env=environment).stdout


def test_shells_complete_commands_and_options() -> None:
    assert complete("overtone wa") == "watch\n"
    assert complete("overtone bench s").split() == ["sweep", "soak", "serve"]
    assert complete("overtone watch --ex") == "--existing\n"
    assert '"--policy"' in complete("overtone classify --pol", "zsh")
    script = runner.invoke(app, ["--show-completion", "bash"], prog_name="overtone")
    assert script.exit_code == 0
    assert "_OVERTONE_COMPLETE=complete_bash" in script.stdout


def test_who_reads_no_further_sees_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        command.call("models", "client", run)
    assert capsys.readouterr().err == ""


def test_a_mistyped_command_is_said_to_be_one() -> None:
    found = runner.invoke(app, ["clasify"])
    assert found.exit_code == 2
    assert "Did you mean 'classify'?" in found.stderr


def test_the_client_is_imported_from_overtone_and_only_when_it_is_used() -> None:
    code = """
import sys
import overtone
assert not any(name.startswith("overtone.") for name in sys.modules)
from overtone import Answer, AsyncClient, Client, Detected, Detection, OvertoneError, Result, Tls
assert Client.__module__ == "overtone.edge_client.sync"
assert set(overtone.__all__) >= {"Client", "AsyncClient", "Answer"}
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_device_loads_neither_torch_nor_what_only_commands_use() -> None:
    code = """
import sys
from overtone import Client, edge_client, frequency
loaded = {"torch", "grpc", "httpx", "rich", "typer", "overtone.edge_client.output"} & sys.modules.keys()
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)
