"""`overtone detect` as its user meets it."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner
from typer.testing import Result as Finished

from overtone.edge_client import AsyncClient, WrongTask, cli
from overtone.edge_client.drawing import draw
from overtone.edge_client.folder import Folder
from overtone.edge_client.image_files import jpeg_bytes
from overtone.edge_client.notes import Notes
from overtone.edge_client.output import Event
from overtone.edge_client.watcher import Watcher
from overtone.frequency import Profile
from overtone.protos import overtone_pb2 as pb
from tests.edge_client.fakes import Behaviour, FakeCascade, Stream, confident, in_thread, serve_grpc
from tests.edge_client.one_line import one_line_of
from tests.edge_client.test_detect import DOG, FOUND, REST_DOG
from tests.waiting import until

KEYS = [
    "path",
    "detections",
    "stage",
    "layers",
    "confident",
    "payload_bytes",
    "link_bytes_up",
    "link_bytes_down",
    "latency_ms",
    "jpeg_bytes",
    "drawn",
]
UNSURE = pb.Detection(score=pb.Score(index=1, probability=0.25), right=1.0, bottom=1.0)


async def sure(stream: Stream, image: pb.Image) -> None:
    await stream.detect(image.id, DOG, UNSURE)


@contextmanager
def served(profile: Profile, *behaviours: Behaviour) -> Iterator[str]:
    cascade = FakeCascade(profile, *behaviours)
    cascade.task = "detect"
    with in_thread(serve_grpc(cascade)) as address:
        yield address


def detect(*arguments: str | Path) -> Finished:
    return CliRunner().invoke(cli.app, ["detect", *map(str, arguments)])


def test_json_has_the_detections_of_each_picture(picture_folder: Path, tiny_profile: Profile) -> None:
    folder = picture_folder / "val"
    with served(tiny_profile, sure) as address:
        done = detect(folder, "--server", address, "--json", "--least", "0.5")
        everything = detect(folder / "cold" / "0.jpg", "--server", address, "--json")
    assert done.exit_code == 0
    images = json.loads(done.stdout)["images"]
    assert [list(image) for image in images] == [KEYS] * 6
    first = images[0]
    assert first["detections"] == [REST_DOG]
    assert (first["path"], first["stage"], first["layers"]) == (str(folder / "cold" / "0.jpg"), "low", 1)
    assert (first["link_bytes_up"], first["drawn"], first["confident"]) == (None, None, True)
    assert first["jpeg_bytes"] == jpeg_bytes(folder / "cold" / "0.jpg", 64, "detect")
    (one,) = json.loads(everything.stdout)["images"]
    assert [found["label"] for found in one["detections"]] == ["class 3", "class 1"]


def test_people_get_a_line_for_each_picture_and_a_table(picture_folder: Path, tiny_profile: Profile) -> None:
    async def some(stream: Stream, image: pb.Image) -> None:
        await stream.detect(image.id, *[DOG] * (image.id - 1))

    with served(tiny_profile, some) as address:
        done = detect(picture_folder / "val" / "cold", "--server", address)
    assert done.exit_code == 0
    heading, *lines = done.stdout.splitlines()
    assert heading.split()[:2] == ["image", "answer"]
    assert [f"cold/{number}.jpg " in line for number, line in enumerate(lines)] == [True] * 3
    # Pictures are encoded side by side, and which is sent first is not known.
    for words, count in (("nothing", 1), ("2 class 3", 1), ("class 3", 2), ("75.0%", 2)):
        assert sum(f" {words} " in line for line in lines) == count
    assert "layer 1" in done.stderr


def test_one_picture_is_drawn_into_a_file(
    picture_folder: Path, tiny_profile: Profile, tmp_path: Path
) -> None:
    picture, out = picture_folder / "val" / "cold" / "0.jpg", tmp_path / "new" / "drawn.png"
    with served(tiny_profile, sure) as address:
        done = detect(picture, "--server", address, "--out", out, "--json", "--least", "0.5")
    assert json.loads(done.stdout)["images"][0]["drawn"] == str(out)
    with Image.open(out) as drawn:
        assert np.array_equal(np.asarray(drawn), np.asarray(draw(picture, FOUND)))


def test_a_folder_is_drawn_into_another_one(
    picture_folder: Path, tiny_profile: Profile, tmp_path: Path
) -> None:
    (picture_folder / "val" / "cold" / "0.jpg").rename(picture_folder / "val" / "cold" / "0.bmp")
    with served(tiny_profile, sure) as address:
        done = detect(picture_folder / "val", "--server", address, "--out", tmp_path / "drawn")
    assert done.exit_code == 0
    names = sorted(str(path.relative_to(tmp_path / "drawn")) for path in (tmp_path / "drawn").rglob("*.*"))
    assert names == [
        "cold/0.png",
        *(f"{each}.jpg" for each in ("cold/1", "cold/2", "warm/0", "warm/1", "warm/2")),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["val", "--out", "val"], "is there for another picture; name another place"),
        (
            ["val/cold/0.jpg", "val/warm/0.jpg", "--out", "d"],
            "is there for another picture; name another place",
        ),
        (["val/cold/0.jpg", "--out", "val/cold/0.jpg"], "is there for another picture; name another place"),
        (["val/cold/0.jpg", "--out", "drawn.txt"], "--out drawn.txt: no kind of picture"),
        (["val", "--out", "val/cold/0.jpg"], "not a folder, and there is more than one picture"),
        (["none.jpg"], "none.jpg: no such file; name image files"),
        (["val", "--quiet", "--verbose"], "give --quiet or --verbose, not both"),
        (["val", "--server", "grpc://127.0.0.1:1"], "check the address"),
    ],
)
def test_mistakes_are_one_line_that_says_what_to_do(
    options: list[str], message: str, picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picture_folder)
    before = {path: path.read_bytes() for path in picture_folder.rglob("*.jpg")}
    assert message in one_line_of(detect(*options))
    assert {path: path.read_bytes() for path in picture_folder.rglob("*.jpg")} == before


def test_a_model_that_classifies_is_one_line_however_many_pictures_there_are(
    picture_folder: Path, tiny_profile: Profile
) -> None:
    with in_thread(serve_grpc(FakeCascade(tiny_profile, confident))) as address:
        done = detect(picture_folder / "val", "--server", address)
    assert "there to classify, not to detect" in one_line_of(done)


def test_what_cannot_be_drawn_is_a_line_and_the_others_go_on(
    picture_folder: Path, tiny_profile: Profile, tmp_path: Path
) -> None:
    (tmp_path / "drawn" / "1.jpg").mkdir(parents=True)
    with served(tiny_profile, sure) as address:
        done = detect(picture_folder / "val" / "cold", "--server", address, "--out", tmp_path / "drawn")
    assert done.exit_code == 1
    first, *_ = done.stderr.splitlines()
    assert "1.jpg cannot be written" in first.replace("\n", "")
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir() if path.is_file()) == [
        "0.jpg",
        "2.jpg",
    ]


async def test_a_device_that_keeps_going_detects_too(picture_folder: Path, tiny_profile: Profile) -> None:
    cascade = FakeCascade(tiny_profile, sure)
    cascade.task = "detect"
    events: list[Event] = []
    async with serve_grpc(cascade) as address:
        source = Folder(picture_folder / "val" / "cold", True, Notes())
        watcher = Watcher(AsyncClient(address), source, 10, Notes(), events.append, "detect", 0.5)
        running = asyncio.create_task(watcher.run())
        await until(lambda: len(events) == 3)
        watcher.stop()
        await running
    event = json.loads(events[0].to_json())
    assert (event["label"], event["confidence"], event["detections"]) == ("class 3", 0.75, [REST_DOG])
    assert "  class 3  75.0%  low  " in str(events[0])


async def test_a_device_that_keeps_going_ends_if_the_model_does_something_else(
    picture_folder: Path, tiny_profile: Profile
) -> None:
    async with serve_grpc(FakeCascade(tiny_profile, confident)) as address:
        source = Folder(picture_folder / "val" / "cold", True, Notes())
        watcher = Watcher(AsyncClient(address), source, 10, Notes(), lambda _: None, "detect")
        with pytest.raises(WrongTask, match="watch --detect"):
            await watcher.run()
