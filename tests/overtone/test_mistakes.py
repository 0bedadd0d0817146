"""Typical mistakes with every command: an exit code, a line that says what to do, and never a traceback."""

from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner, Result

from overtone.cli import app

AWAY = "grpc://127.0.0.1:1"

# Run in a folder with `empty/`, `data/train/` and `data/val/`, which hold nothing, `broken.jpg`, which is empty, and
# `pictures/`, which has some that are empty.
MISTAKES = {
    "classify": [
        ["nowhere"],
        ["empty"],
        ["broken.jpg", "--server", AWAY],
        ["broken.jpg", "--server", "http://127.0.0.1:1"],
        ["broken.jpg", "--server", "HOST"],
        ["broken.jpg", "--policy", "sometimes"],
        ["broken.jpg", "--timeout", "0"],
        ["broken.jpg", "--timeout", "soon"],
        ["broken.jpg", "--server", "grpcs://h", "--ca", "nowhere.pem"],
        ["--sever", AWAY, "broken.jpg"],
        [],
    ],
    "detect": [
        ["nowhere"],
        ["empty"],
        ["broken.jpg", "--server", AWAY],
        ["broken.jpg", "--server", "http://127.0.0.1:1"],
        ["broken.jpg", "--out", "drawn.txt"],
        ["broken.jpg", "--out", "broken.jpg"],
        [],
    ],
    "watch": [
        ["nowhere"],
        ["broken.jpg"],
        ["empty", "--server", "HOST"],
        ["empty", "--every", "1"],
        ["empty", "--queue", "0"],
        ["empty", "--policy", "sometimes"],
    ],
    "c-profile": [
        [],
        ["--out", "o", "--server", "HOST"],
        ["--out", "o", "--server", AWAY],
        ["--out", "o", "--server", "http://127.0.0.1:1"],
    ],
    "describe": [
        ["nowhere.jpg"],
        ["broken.jpg"],
        ["empty"],
        ["broken.jpg", "--model", "nothing"],
        ["broken.jpg", "--quality", "99"],
    ],
    "serve": [
        ["--model", "nothing"],
        ["--model", "broken.jpg"],
        ["--models", "nowhere"],
        ["--models", "empty"],
        ["--model", "trashnet-lite", "--device", "toaster"],
        ["--grpc-port", "99999"],
        ["--log-format", "xml"],
        ["--log-level", "loud"],
        ["--workers", "-1"],
        ["--tokens-file", "nowhere.toml"],
        ["--tokens-file", "empty"],
    ],
    "token": [[], [""], ["a b\n"], ["camera", "--images-per-second", "-3"]],
    "models": [
        ["nothing"],
        ["nowhere.safetensors"],
        ["broken.jpg"],
        ["empty"],
        ["--server", "HOST"],
        ["--server", AWAY],
        ["--server", "http://127.0.0.1:1"],
        ["photographs", "--server", AWAY],
    ],
    "train": [
        ["nowhere"],
        ["empty"],
        ["data"],
        ["imagenette", "--data", "nowhere"],
        ["imagenette", "--data", "empty"],
        ["imagenette", "--data", "data", "--device", "toaster"],
        ["nothing.toml", "--data", "data"],
        ["broken.jpg", "--data", "data"],
    ],
    "train average": [
        ["a", "b", "--data", "data", "--out", "o"],
        ["broken.jpg", "--data", "data", "--out", "o"],
    ],
    "train join": [
        ["nothing", "--data", "data", "--out", "o"],
        ["imagenette", "--data", "data", "--out", "missing/o"],
    ],
    "train codec": [
        ["nothing", "--data", "data", "--out", "o"],
        ["imagenette", "--data", "empty", "--out", "o"],
    ],
    "adapt": [
        ["resnet50", "--images", "nowhere"],
        ["resnet50", "--images", "empty"],
        ["nowhere.pth", "--body", "resnet50", "--images", "pictures"],
    ],
    "evaluate": [
        ["nothing", "--data", "data"],
        ["broken.jpg", "--data", "data"],
        ["imagenette", "--data", "nowhere"],
        ["imagenette", "--data", "data"],
        ["imagenette", "--data", "data", "--device", "toaster"],
    ],
    "calibrate": [
        ["nothing", "--data", "data", "--out", "o"],
        ["imagenette", "--data", "empty", "--out", "o"],
    ],
    "calibrate simulate": [["nothing", "--data", "data"]],
    "calibrate mix": [["nothing", "--data", "data"]],
    "demo": [
        ["--images", "nowhere"],
        ["--images", "empty"],
        ["--policy", "sometimes"],
        ["--task", "guess"],
        ["--transport", "pigeon"],
        ["--rate", "fast"],
        ["--model", "nothing"],
    ],
    "link": [
        [],
        ["--to", "HOST"],
        ["--to", "127.0.0.1:1", "--profile", "nothing"],
        ["--to", "127.0.0.1:1", "--listen", "HOST"],
        ["--to", "127.0.0.1:1", "--trace", "nowhere.csv"],
        ["--to", "127.0.0.1:1", "--outage", "often"],
    ],
    "bench sweep": [
        ["nothing"],
        ["broken.jpg"],
        ["short", "--data", "nowhere"],
        ["short", "--data", "empty"],
    ],
    "bench soak": [["--minutes", "0"], ["--devices", "0"]],
    "bench faults": [["nothing"], ["--seconds", "0"]],
    "bench cluster": [["--engines", "0"], ["--nodes", "0"]],
    "bench replicas": [["--kills", "0"], ["--seconds", "0"]],
    "bench bytes": [
        [],
        ["--data", "nowhere"],
        ["--data", "data", "--checkpoint", "nothing"],
    ],
    "bench serve": [
        ["--images", "empty"],
        ["--stage", "medium"],
        ["--network", "fake"],
        ["--model", "nothing"],
    ],
}
CASES = [(command, options) for command, every in MISTAKES.items() for options in every]


def leaves(group: TyperGroup, prefix: str = "") -> set[str]:
    """The full names of all commands that are listed."""
    found = set()
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            found |= leaves(command, f"{prefix}{name} ")
            if any(each.hidden for each in command.commands.values()):  # it is a command by itself too
                found.add(f"{prefix}{name}")
        elif not command.hidden:
            found.add(f"{prefix}{name}")
    return found


def test_every_command_is_here() -> None:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    assert leaves(group) == set(MISTAKES)


@pytest.mark.parametrize(
    ("command", "options"), CASES, ids=lambda each: each if isinstance(each, str) else " ".join(each)
)
def test_a_mistake_is_said_in_a_line(
    command: str, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("empty", "data/train", "data/val", "pictures"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "broken.jpg").touch()
    for number in range(8):
        (tmp_path / "pictures" / f"{number}.jpg").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OVERTONE_DATA", raising=False)
    done = CliRunner().invoke(app, [*command.split(), *options], prog_name="overtone")
    assert done.exit_code in (1, 2), done.output
    assert isinstance(done.exception, SystemExit)
    assert "Traceback" not in done.output
    assert _is_a_line(done), done.output


def _is_a_line(done: Result) -> bool:
    """A line of ours, or the box in which a usage error is shown."""
    lines = done.stderr.strip().splitlines()
    return (len(lines) == 1 and lines[0].startswith("overtone: ")) or lines[0].startswith("Usage: overtone")
