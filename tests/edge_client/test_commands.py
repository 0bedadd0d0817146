"""`overtone classify`, from the command line's side."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from rich.console import Console

from overtone.edge_client import commands
from overtone.edge_client.answer import Result
from overtone.edge_client.commands import GIVE_UP, classify
from overtone.edge_client.errors import OvertoneError, Refused, Unavailable
from overtone.edge_client.rows import Lines, Row
from overtone.frequency import Profile
from overtone.protos import overtone_pb2 as pb
from tests.edge_client.fakes import Behaviour, FakeCascade, Stream, confident, serve_grpc
from tests.promised import IMAGE_KEYS


@contextmanager
def serving(profile: Profile, behaviour: Behaviour = confident) -> Iterator[str]:
    """A server beside the command, which has an event loop of its own."""
    loop = asyncio.new_event_loop()
    addresses: asyncio.Queue[str] = asyncio.Queue()
    stop = asyncio.Event()

    async def run() -> None:
        async with serve_grpc(FakeCascade(profile, behaviour)) as address:
            addresses.put_nowait(address)
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(addresses.get(), loop).result()
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def test_json_is_one_object_with_the_agreed_keys(
    picture_folder: Path, tiny_profile: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tiny_profile) as address:
        assert classify([picture_folder / "val"], address, as_json=True) == 0
    images = json.loads(capsys.readouterr().out)["images"]
    assert [list(image) for image in images] == [list(IMAGE_KEYS)] * 6
    first = images[0]
    assert first["path"] == str(picture_folder / "val" / "cold" / "0.jpg")
    assert (first["label"], first["stage"], first["truth"]) == ("class 3", "low", None)
    assert (first["link_bytes_up"], first["link_bytes_down"]) == (None, None)
    assert min(first["payload_bytes"], first["latency_ms"], first["jpeg_bytes"]) > 0


def test_truth_comes_from_the_folder_by_label_or_by_the_cards_classes(
    picture_folder: Path, tiny_profile: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = next((picture_folder / "val" / "cold").iterdir()).read_bytes()
    for name in ("class 3", "n0004"):
        (picture_folder / name).mkdir()
        (picture_folder / name / "a.jpg").write_bytes(picture)
    with serving(tiny_profile) as address:
        assert classify([picture_folder / "class 3", picture_folder / "n0004"], address, as_json=True) == 0
    images = json.loads(capsys.readouterr().out)["images"]
    assert [image["truth"] for image in images] == ["class 3", "class 4"]


def test_a_bad_file_is_one_line_and_the_others_go_on(
    picture_folder: Path, tiny_profile: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = picture_folder / "val" / "cold" / "1.jpg"
    bad.write_bytes(b"not a picture")
    with serving(tiny_profile) as address:
        code = classify([picture_folder / "val" / "cold", "missing.jpg"], address, as_json=True)
    said = capsys.readouterr()
    assert code == 1
    assert len(json.loads(said.out)["images"]) == 2
    assert len(said.err.splitlines()) == 3
    assert said.err.splitlines()[-1] == "overtone classify: 2 of 4 not answered"
    assert str(bad) in said.err
    assert "missing.jpg" in said.err


def test_a_failing_server_is_one_line_for_each_picture(
    picture_folder: Path, tiny_profile: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(stream: Stream, image: pb.Image) -> None:
        await stream.say(error=pb.Error(id=image.id, code=13, message="something [red]went wrong"))

    with serving(tiny_profile, broken) as address:
        assert classify([picture_folder / "val" / "cold"], address) == 1
    said = capsys.readouterr()
    *each, last = said.err.splitlines()
    assert ["something [red]went wrong" in line for line in each] == [True] * 3
    assert last == "overtone classify: 3 of 3 not answered"
    assert not said.out


class Failing:
    """A client for which every picture fails in a way of its own."""

    def __init__(self, profile: Profile, errors: Sequence[OvertoneError]) -> None:
        self.profile = profile
        self._errors = errors

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def card(self) -> dict[str, Any]:
        return {}

    async def stream(self, files: Sequence[Path]) -> AsyncIterator[Result]:
        for path, error in zip(files, self._errors, strict=True):
            yield Result(path, error=error)


@pytest.mark.parametrize("reached", [False, True])
def test_a_server_that_stays_away_ends_it(
    reached: bool,
    picture_folder: Path,
    tiny_profile: Profile,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    count = 2 * GIVE_UP
    errors: list[OvertoneError] = [Unavailable(f"away {i}") for i in range(count)]
    if reached:
        errors[GIVE_UP - 1] = errors[2 * GIVE_UP - 1] = Refused("busy")
    monkeypatch.setattr(commands, "AsyncClient", lambda *_, **__: Failing(tiny_profile, errors))
    assert classify([picture_folder / "val" / "cold" / "0.jpg"] * count) == 1
    said = capsys.readouterr().err
    assert said.count("away ") == (count - 2 if reached else GIVE_UP)
    assert (f"stopped: no server for {GIVE_UP} pictures in a row" in said) == (not reached)
    assert said.splitlines()[-1] == f"overtone classify: {count} of {count} not answered"


@pytest.mark.parametrize(("cache", "why"), [("file", "not a folder"), ("file/below", "cannot be written")])
def test_profiles_that_could_not_be_kept_are_refused(
    cache: str, why: str, picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert classify([picture_folder / "val"], "grpc://127.0.0.1:1", cache=tmp_path / cache) == 1
    said = capsys.readouterr().err
    assert f"--cache {tmp_path / cache}: {why}" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("server", ["grpcs://127.0.0.1:1", "https://127.0.0.1:1"])
@pytest.mark.parametrize(("name", "why"), [("ca.pem", "not a certificate in PEM"), ("none", "No such file")])
def test_an_authority_that_is_none_is_refused(
    server: str, name: str, why: str, picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    assert classify([picture_folder / "val"], server, authority=tmp_path / name) == 1
    said = capsys.readouterr().err
    assert f"tls: {tmp_path / name}: {why}" in said
    assert len(said.splitlines()) == 1


def test_people_get_a_line_for_each_picture(
    picture_folder: Path, tiny_profile: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tiny_profile) as address:
        assert classify([picture_folder / "val" / "warm"], address) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].split()[:2] == ["picture", "answer"]
    assert all("class 3" in line and "75.0%" in line for line in lines[1:])


def test_nothing_to_do_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify([tmp_path]) == 1
    assert "no pictures" in capsys.readouterr().err


def test_files_that_are_not_there_need_no_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify([tmp_path / "none.jpg"], "grpc://127.0.0.1:1") == 1
    assert "none.jpg: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("server", ["nonsense", "grpc://127.0.0.1:1", "http://127.0.0.1:1"])
def test_no_server_is_one_line(server: str, picture_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify([picture_folder / "val"], server, timeout=5.0) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("width", [40, 80, 160])
def test_lines_fit_and_align(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(Console(width=width))
    row = Row(
        "a/very/long/path/" * 9 + "end.jpg",
        "English springer",
        "tench",
        1.0,
        "brownout",
        123456,
        9,
        9,
        1e4,
        99,
    )
    lines.print(row)
    lines.print(row)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3
    if width >= 80:
        assert "end.jpg" in printed[1]
        assert all(len(line) <= width for line in printed)
