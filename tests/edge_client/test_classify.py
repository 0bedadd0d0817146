"""`overtone classify` as its user meets it."""

import contextlib
import json
import os
import pty
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self, cast

import pytest
from rich.console import Console
from typer.testing import CliRunner
from typer.testing import Result as Finished

from overtone.edge_client import AsyncClient, cli
from overtone.edge_client.answer import Answer, Result
from overtone.edge_client.classify import classify_files
from overtone.edge_client.errors import OvertoneError, Refused, Unavailable
from overtone.edge_client.inquiry import GIVE_UP
from overtone.edge_client.output import Lines, Row
from overtone.frequency import Profile
from overtone.protos import overtone_pb2 as pb
from tests.edge_client.fakes import FakeCascade, Stream, confident, escalating, in_thread, serve_grpc
from tests.edge_client.one_line import one_line_of
from tests.promised import IMAGE_KEYS


def classify(*arguments: str | Path) -> Finished:
    return CliRunner().invoke(cli.app, ["classify", *map(str, arguments)])


def test_json_is_one_object_with_the_agreed_keys(picture_folder: Path, tiny_profile: Profile) -> None:
    with in_thread(serve_grpc(FakeCascade(tiny_profile, confident))) as address:
        done = classify(picture_folder / "val", "--server", address, "--json")
    assert done.exit_code == 0
    images = json.loads(done.stdout)["images"]
    assert [list(image) for image in images] == [list(IMAGE_KEYS)] * 6
    first = images[0]
    assert first["path"] == str(picture_folder / "val" / "cold" / "0.jpg")
    assert (first["label"], first["stage"], first["layers"], first["truth"]) == ("class 3", "low", 1, None)
    assert (first["link_bytes_up"], first["link_bytes_down"]) == (None, None)
    assert min(first["payload_bytes"], first["latency_ms"], first["jpeg_bytes"]) > 0


def test_truth_comes_from_the_folder_by_label_or_by_the_cards_classes(
    picture_folder: Path, tiny_profile: Profile
) -> None:
    image = next((picture_folder / "val" / "cold").iterdir()).read_bytes()
    for name in ("class 3", "n0004"):
        (picture_folder / name).mkdir()
        (picture_folder / name / "a.jpg").write_bytes(image)
    with in_thread(serve_grpc(FakeCascade(tiny_profile, confident))) as address:
        done = classify(picture_folder / "class 3", picture_folder / "n0004", "--server", address, "--json")
    assert [image["truth"] for image in json.loads(done.stdout)["images"]] == ["class 3", "class 4"]


def test_a_bad_file_is_one_line_and_the_others_go_on(picture_folder: Path, tiny_profile: Profile) -> None:
    bad = picture_folder / "val" / "cold" / "1.jpg"
    bad.write_bytes(b"not an image")
    with in_thread(serve_grpc(FakeCascade(tiny_profile, confident))) as address:
        done = classify(picture_folder / "val" / "cold", "missing.jpg", "--server", address, "--json")
    assert done.exit_code == 1
    assert len(json.loads(done.stdout)["images"]) == 2
    first, second, last = done.stderr.splitlines()
    assert str(bad) in first
    assert "missing.jpg" in second
    assert last == "overtone: 2 of 4 not answered"


def test_a_failing_server_is_one_line_for_each_image(picture_folder: Path, tiny_profile: Profile) -> None:
    async def broken(stream: Stream, image: pb.Image) -> None:
        await stream.fail(image.id, code=13, message="something [red]went wrong")

    with in_thread(serve_grpc(FakeCascade(tiny_profile, broken))) as address:
        done = classify(picture_folder / "val" / "cold", "--server", address)
    assert done.exit_code == 1
    *each, last = done.stderr.splitlines()
    assert ["something [red]went wrong" in line for line in each] == [True] * 3
    assert last == "overtone: 3 of 3 not answered"
    assert not done.stdout


class Failing:
    """A client for which every image fails in a way of its own."""

    def __init__(self, profile: Profile, errors: Sequence[OvertoneError]) -> None:
        self.profile = profile
        self._errors = errors

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def card(self) -> dict[str, Any]:
        return {}

    async def stream(self, files: Sequence[Path]) -> AsyncIterator[Result[Answer]]:
        for path, error in zip(files, self._errors, strict=True):
            yield Result(path, error=error)


@pytest.mark.parametrize("reached", [False, True])
def test_a_server_that_stays_away_ends_it(
    reached: bool, picture_folder: Path, tiny_profile: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    count = 2 * GIVE_UP
    errors: list[OvertoneError] = [Unavailable(f"away {i}") for i in range(count)]
    if reached:
        errors[GIVE_UP - 1] = errors[2 * GIVE_UP - 1] = Refused("busy")
    client = cast(AsyncClient, Failing(tiny_profile, errors))
    assert classify_files(client, [picture_folder / "val" / "cold" / "0.jpg"] * count) == 1
    printed = capsys.readouterr().err
    assert printed.count("away ") == (count - 2 if reached else GIVE_UP)
    assert (f"stopped: no server for {GIVE_UP} images in a row" in printed) == (not reached)
    assert printed.splitlines()[-1] == f"overtone: {count} of {count} not answered"


def test_people_get_a_line_for_each_image(picture_folder: Path, tiny_profile: Profile) -> None:
    with in_thread(serve_grpc(FakeCascade(tiny_profile, confident))) as address:
        done = classify(picture_folder / "val" / "warm", "--server", address)
    assert done.exit_code == 0
    heading, *lines = done.stdout.splitlines()
    assert heading.split()[:2] == ["image", "answer"]
    assert ["class 3" in line and "75.0%" in line for line in lines] == [True] * 3


def test_a_table_at_the_end_counts_layers_and_bytes(picture_folder: Path, tiny_profile: Profile) -> None:
    async def every_other(stream: Stream, image: pb.Image) -> None:
        await (confident if image.id % 2 else escalating)(stream, image)

    folder = picture_folder / "val"
    with in_thread(serve_grpc(FakeCascade(tiny_profile, every_other))) as address:
        done = classify(folder, "--server", address, "--policy", "on_demand")
        quiet = classify(folder, "--server", address, "--quiet")
    _, first, second, both = done.stderr.splitlines()
    assert first.split()[:4] == ["layer", "1", "3", "50.0%"]
    assert second.split()[:4] == ["layer", "2", "3", "50.0%"]
    sent = sum(int(line.split()[-4]) for line in done.stdout.splitlines()[1:])
    assert both.split()[:5] == ["any", "6", "100.0%", f"{sent / 6:,.0f}", f"{sent:,}"]
    assert (quiet.exit_code, quiet.stderr) == (0, "")


def test_verbose_says_what_the_server_has_and_where_the_time_went(
    picture_folder: Path, tiny_profile: Profile
) -> None:
    image = picture_folder / "val" / "cold" / "0.jpg"
    with in_thread(serve_grpc(FakeCascade(tiny_profile, confident))) as address:
        done = classify(image, "--server", address, "--policy", "on_demand", "--verbose")
    server, spent = done.stderr.splitlines()
    named = f"tiny, profile {tiny_profile.id.hex()}"
    assert server == f"overtone: the server has {named}: images of 64 pixels in 2 layers"
    assert spent.startswith(f"overtone: {image}: 1 layers, 1 unasked (on_demand); ")
    assert " 1 ms queued, 2 ms computing, " in spent


@pytest.mark.parametrize("captured", [False, True])
def test_a_bar_is_shown_on_a_terminal_and_leaves_the_answers_whole(
    captured: bool,
    picture_folder: Path,
    tiny_profile: Profile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Standard error is a terminal, and standard output the same one or a file."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    master, slave = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(master, 4096):
                shown.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    with open(slave, "w") as terminal, (tmp_path / "out").open("w") as file:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(sys, "stdout", file if captured else terminal)
        with in_thread(serve_grpc(FakeCascade(tiny_profile, confident))) as address:
            assert classify_files(AsyncClient(address), [picture_folder / "val"]) == 0
        monkeypatch.undo()
    reader.join()
    os.close(master)
    on_terminal, in_file = b"".join(shown), (tmp_path / "out").read_bytes()
    assert b"6/6" in on_terminal, "the bar"
    assert b"answered after" in on_terminal, "the table"
    assert (in_file if captured else on_terminal).count(b"class 3") == 6
    assert b"\x1b" not in in_file


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["folder"], "no images there; name image files"),
        (["a.jpg", "--quiet", "--verbose"], "give --quiet or --verbose, not both"),
        (["none.jpg"], "none.jpg: no such file; name image files"),
        (["a.jpg", "--server", "nonsense"], "write grpc://HOST:50051"),
        (["a.jpg", "--server", "grpc://127.0.0.1:1"], "check the address"),
        (["a.jpg", "--server", "http://127.0.0.1:1"], "check the address"),
        (["a.jpg", "--policy", "sometimes"], "choose from auto"),
        (["a.jpg", "--cache", "a.jpg"], "--cache a.jpg: not a folder"),
        (["a.jpg", "--cache", "a.jpg/below"], "--cache a.jpg/below: cannot be written"),
        (["a.jpg", "--server", "grpcs://h", "--authority", "a.jpg"], "tls: a.jpg: not a certificate in PEM"),
        (["a.jpg", "--server", "https://h", "--authority", "a.jpg"], "tls: a.jpg: not a certificate in PEM"),
        (["a.jpg", "--server", "grpcs://h", "--authority", "none"], "tls: none: No such file"),
        (["a.jpg", "--server", "https://h", "--authority", "none"], "tls: none: No such file"),
    ],
)
def test_mistakes_are_one_line_that_says_what_to_do(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("a.jpg").touch()
    assert message in one_line_of(classify(*options))


@pytest.mark.parametrize("width", [40, 80, 160])
def test_lines_fit_and_align(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(Console(width=width))
    path, numbers = "a/very/long/path/" * 9 + "end.jpg", (123456, 9, 9, 1e4, 99)
    row = Row(path, "English springer", "tench", 1.0, "brownout", 1, *numbers)
    lines.print(row)
    lines.print(row)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3
    if width >= 80:
        assert "end.jpg" in printed[1]
        assert all(len(line) <= width for line in printed)
