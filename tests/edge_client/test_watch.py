"""`overtone watch` as its user meets it: a process, its output, and how it ends."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO

import pytest
from typer.testing import CliRunner

from overtone.edge_client import cli
from overtone.frequency import Profile
from tests.conftest import Photograph
from tests.edge_client.fakes import FakeCascade, confident, in_thread, serve_grpc
from tests.edge_client.motion_jpeg import jpeg
from tests.edge_client.one_line import one_line_of
from tests.waiting import LATER

KEYS = ["time", "path", "label", "confidence", "stage", "layers", "payload_bytes", "latency_ms"]


class Process:
    """`overtone watch` in a process of its own."""

    def __init__(self, *arguments: str | Path) -> None:
        code = "from overtone.edge_client.cli import app; app(prog_name='overtone')"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "watch", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out: SimpleQueue[str] = SimpleQueue()
        self.err: SimpleQueue[str] = SimpleQueue()
        self.readers: list[Thread] = []
        for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            assert stream is not None
            self.readers.append(Thread(target=self._read, args=(stream, lines)))
            self.readers[-1].start()

    def end(self, number: signal.Signals) -> tuple[int, list[str]]:
        """Send a signal; the exit code, and what was left on standard error."""
        self.process.send_signal(number)
        code = self.process.wait(LATER)
        for reader in self.readers:
            reader.join()
        return code, [self.err.get().rstrip("\n") for _ in range(self.err.qsize())]

    def wait_for(self, part: str) -> None:
        """Wait for a line of standard error."""
        while part not in self.err.get(timeout=LATER):
            pass

    @staticmethod
    def _read(stream: IO[str], lines: "SimpleQueue[str]") -> None:
        with stream:
            for line in stream:
                lines.put(line)


def test_a_folder_is_watched_until_sigterm(
    picture_folder: Path, tiny_profile: Profile, photograph: Photograph
) -> None:
    picture, folder = jpeg(photograph), picture_folder / "val"
    with in_thread(serve_grpc(FakeCascade(tiny_profile, confident))) as address:
        running = Process(folder, "--existing", "--server", address, "--json")
        running.wait_for("watching")
        existing = [json.loads(running.out.get(timeout=LATER)) for _ in range(6)]
        (folder / "damaged.jpg").write_bytes(picture[:99])
        with (folder / "slow.jpg").open("wb") as file:
            for start in range(0, len(picture), 2000):
                file.write(picture[start : start + 2000])
                file.flush()
                time.sleep(0.01)
        new = json.loads(running.out.get(timeout=LATER))
        running.wait_for("damaged.jpg")
        code, (summary,) = running.end(signal.SIGTERM)
    assert [line["path"] for line in existing] == [
        str(folder / kind / f"{number}.jpg") for kind in ("cold", "warm") for number in range(3)
    ]
    assert list(new) == KEYS
    assert (new["path"], new["label"], new["stage"]) == (str(folder / "slow.jpg"), "class 3", "low")
    sent = sum(line["payload_bytes"] for line in (*existing, new))
    assert summary == f"overtone: 7 images, {sent:,} payload bytes, 0 dropped, 1 failed"
    assert code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere"], "nowhere: no such folder or camera; give a folder"),
        (["a.jpg"], "a.jpg: neither a folder nor a camera"),
        (["folder", "--every", "3"], "--every is for cameras"),
        (["rtsp://127.0.0.1:1/", "--existing"], "--existing is for folders"),
        (["folder", "--server", "nonsense"], "write grpc://HOST:50051"),
        (["folder", "--policy", "sometimes"], "choose from auto"),
        (["folder", "--cache", "a.jpg"], "--cache a.jpg: not a folder"),
    ],
)
def test_mistakes_are_one_line_that_says_what_to_do(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("a.jpg").touch()
    assert message in one_line_of(CliRunner().invoke(cli.app, ["watch", *options]))


def test_a_refused_device_ends(tiny_profile: Profile, tmp_path: Path) -> None:
    with in_thread(serve_grpc(FakeCascade(tiny_profile, confident))) as address:
        done = CliRunner().invoke(cli.app, ["watch", str(tmp_path), "--server", address, "--quality", "9"])
    assert done.exit_code == 1
    *_, last = done.stderr.splitlines()
    assert "no quality 9" in last
    assert not done.stdout
