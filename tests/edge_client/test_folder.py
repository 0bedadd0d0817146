"""Images that appear in a folder."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from overtone.edge_client import folder as module
from overtone.edge_client import settling
from overtone.edge_client.folder import Folder
from overtone.edge_client.image_queue import ImageQueue
from overtone.edge_client.notes import Notes
from tests.waiting import until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK", 20)
    monkeypatch.setattr(module, "ABSENCE", 0.05)
    monkeypatch.setattr(settling, "SETTLED", 0.1)


class Said(Notes):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, what: str) -> None:
        self.lines.append(what)


class Followed:
    """A folder that is followed, and the names of what came, in order."""

    def __init__(self, path: Path, existing: bool = False, capacity: int = 100) -> None:
        self.notes = Said()
        self.folder = Folder(path, existing, self.notes)
        self.queue = ImageQueue(capacity, lambda: None)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[list[str]]:
        names: list[str] = []

        async def take() -> None:
            async for _ in self.queue:
                names.append(Path(self.queue.taken.popleft().name).name)

        tasks = [asyncio.create_task(self.folder.feed(self.queue)), asyncio.create_task(take())]
        try:
            await until(lambda: self.notes.lines)
            yield names
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_new_images_are_taken_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "old.jpg").write_bytes(b"old")
    async with Followed(tmp_path).running() as names:
        for name in ("a.jpg", ".hidden.jpg", "notes.txt", "b.jpg.part"):
            (tmp_path / name).write_bytes(b"x")
        (tmp_path / "b.jpg.part").rename(tmp_path / "b.jpg")
        (tmp_path / "deep" / "er").mkdir(parents=True)
        (tmp_path / "deep" / "er" / "c.png").write_bytes(b"x")
        await until(lambda: len(names) >= 3)
        (tmp_path / "old.jpg").write_bytes(b"written anew")
        await until(lambda: len(names) >= 4)
    assert sorted(names[:3]) == ["a.jpg", "b.jpg", "c.png"]
    assert names[3:] == ["old.jpg"]


async def test_a_folder_that_is_moved_here_comes_with_its_images(tmp_path: Path) -> None:
    watched, elsewhere = tmp_path / "watched", tmp_path / "elsewhere"
    watched.mkdir()
    elsewhere.mkdir()
    (elsewhere / "a.jpg").write_bytes(b"x")
    async with Followed(watched).running() as names:
        elsewhere.rename(watched / "moved")
        await until(lambda: names)
    assert names == ["a.jpg"]


async def test_what_is_there_already_is_taken_if_it_is_wanted_and_never_dropped(tmp_path: Path) -> None:
    expected = [f"{number:03}.jpg" for number in range(50)]
    for name in expected:
        (tmp_path / name).write_bytes(b"x")
    followed = Followed(tmp_path, existing=True, capacity=4)
    async with followed.running() as names:
        await until(lambda: len(names) >= len(expected))
    assert names == expected


async def test_a_folder_that_is_taken_away_and_put_back_is_followed_again(tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    followed = Followed(watched)
    async with followed.running() as names:
        shutil.rmtree(watched)
        await until(lambda: len(followed.notes.lines) == 2)
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "a.jpg").write_bytes(b"x")
        (tmp_path / "new").rename(watched)
        await until(lambda: names)
        (watched / "b.jpg").write_bytes(b"x")
        await until(lambda: len(names) >= 2)
    assert names == ["a.jpg", "b.jpg"]
    assert followed.notes.lines[1] == f"{watched} is gone; waiting for it"


async def test_a_folder_that_is_made_anew_at_once_is_followed_again(tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    followed = Followed(watched)
    async with followed.running() as names:
        shutil.rmtree(watched)
        watched.mkdir()  # on many file systems with the inode of the old one
        (watched / "a.jpg").write_bytes(b"x")
        await until(lambda: names)
        (watched / "b.jpg").write_bytes(b"x")
        await until(lambda: len(names) >= 2)
    assert names == ["a.jpg", "b.jpg"]


async def test_a_folder_may_be_named_from_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    for name in (Path("."), Path("deep/../deep")):
        async with Followed(name).running() as names:
            (tmp_path / "deep" / "a.jpg").write_bytes(name.name.encode())
            await until(lambda: names)
        assert names == ["a.jpg"]
