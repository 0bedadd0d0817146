"""`overtone bench serve`: the whole command with our own server and a stub, and its parts by themselves."""

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from overtone.benchmarks import http2, pages
from overtone.benchmarks.process_tree import cpu_seconds, descendants, end_tree
from overtone.benchmarks.serve import http_load, report, session_load
from overtone.benchmarks.serve.command import Options, run
from overtone.benchmarks.serve.http_load import ReplyParser
from overtone.benchmarks.serve.window import BEGIN, Window
from overtone.benchmarks.serve.workload import POINT, Network, Workload, checked, prepare_checkpoint
from overtone.frequency import Profile, join, split
from overtone.models import read_card
from overtone.protos import overtone_pb2 as pb
from tests.edge_client import fakes
from tests.edge_client.listening import listening
from tests.waiting import LATER, until

QUICK = Options(networks=("stub",), peers=False, in_flight=20, warm_up=0.1, seconds=0.4, rounds=1)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_our_server_with_a_stub(
    tiny_checkpoint: Path, labelled_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = Options(**{**vars(QUICK), "model": str(tiny_checkpoint)})
    found = run(labelled_folder, tmp_path / "out", options, as_json=True)
    assert [entry["name"] for entry in found["ours"]] == ["gRPC sessions", "REST"]
    for entry in found["ours"]:
        assert entry["network"] == "stub"
        assert entry["images_per_second"] > 0 < entry["cpu_ms_per_image"]
        assert entry["failed"] == 0
        assert entry["p99_ms"] >= entry["p50_ms"] > 0
    assert found["bare"] == found["peers"] == []
    assert found["ratio_bare"] is None
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out" / "serve.json").read_text())


@pytest.mark.parametrize(("stage", "thresholds", "below"), [("low", (0.0,), ()), ("high", (1.1,), (1.1,))])
def test_one_operating_point_decides_which_layers_answer(
    tiny_checkpoint: Path, tmp_path: Path, stage: Any, thresholds: tuple[float], below: tuple[float, ...]
) -> None:
    out = tmp_path / "measured.safetensors"
    prepare_checkpoint(str(tiny_checkpoint), stage, out)
    point = read_card(out).point(None)
    assert (point.name, point.thresholds, point.all_below) == (POINT, thresholds, below)


def test_a_workload_comes_back_from_its_file(tmp_path: Path) -> None:
    workload = Workload(((b"\0one", b"two"), (b"three", b"4")), 2)
    workload.write(tmp_path / "workload.json")
    assert Workload.read(tmp_path / "workload.json") == workload
    assert workload.mean_bytes == 6.5
    assert split(workload.bodies("joined")[0]) == (b"\0one", b"two")
    (coded,) = json.loads(workload.bodies("base64")[1])["bodies"]
    assert coded == "BXRocmVlATQ="  # 5, "three", 1, "4"
    assert join((b"three", b"4")) == b"\x05three\x014"


REPLIES = {
    "length": b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"a": "\r\n"}',
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "nothing": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_reply_is_complete_at_its_last_byte(reply: bytes) -> None:
    parser = ReplyParser()
    for byte in reply[:-1]:
        assert parser.feed(bytes([byte])) is None
    assert parser.feed(reply[-1:]) == 200
    assert parser.feed(reply.replace(b"200", b"429")) == 429


async def test_failures_and_lost_connections_are_counted_apart() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            for status in (b"200", b"503"):
                await reader.readuntil(b"the body")
                writer.write(b"HTTP/1.1 %s X\r\ncontent-length: 0\r\n\r\n" % status)
            await reader.readuntil(b"the body")
        writer.close()

    said: list[str] = []
    async with listening(serve) as address:
        messages = http_load.requests(address, "/", [b"the body"], "text/plain")
        await http_load.load(address, messages, 2, Window(0.05, 0.3, said.append))
    assert said[0] == BEGIN
    found = json.loads(said[1])
    assert found["images"] > 0 < found["failed"]
    assert found["failure"] in ("HTTP 503", "the connection was lost (None)")


@pytest.mark.parametrize("size", [100, 50_000])  # of four frames, so that the server's windows are soon full
async def test_sessions_keep_as_many_images_in_flight_as_they_have_credits(
    tiny_profile: Profile, size: int
) -> None:
    async def answer(stream: fakes.Stream, image: pb.Image) -> None:
        assert (image.layers[0], image.promised) == (payload, 1)
        await until(lambda: len(stream.in_flight) == cascade.credits)
        await stream.answer(image.id)

    payload, said = bytes(size), list[str]()
    cascade = fakes.FakeCascade(tiny_profile, answer)
    cascade.credits = 2
    async with fakes.serve_grpc(cascade) as address:
        workload = Workload(((payload,),), 1)
        window = Window(0.2, 0.3, said.append)
        await session_load.load(address.removeprefix("grpc://"), workload, 19, window)
    assert said[0] == BEGIN
    found = json.loads(said[1])
    assert found["images"] > 0 == found["failed"]
    assert len(cascade.hellos) == 2  # of 10 and of 9 images
    assert len(cascade.images) > 4


async def test_a_session_that_ends_is_an_error(tiny_profile: Profile) -> None:
    async with fakes.serve_grpc(fakes.FakeCascade(tiny_profile, fakes.dying)) as address:
        workload = Workload(((b"payload",),), 1)
        with pytest.raises(session_load.SessionError, match="ended the session"):
            await session_load.load(address.removeprefix("grpc://"), workload, 1, Window(LATER, 1.0, print))


async def test_an_image_that_fails_is_counted_apart(tiny_profile: Profile) -> None:
    async def refuse(stream: fakes.Stream, image: pb.Image) -> None:
        await stream.fail(image.id, code=8, message="queue full")

    said: list[str] = []
    async with fakes.serve_grpc(fakes.FakeCascade(tiny_profile, refuse)) as address:
        workload = Workload(((b"payload",),), 1)
        await session_load.load(address.removeprefix("grpc://"), workload, 1, Window(0.05, 0.3, said.append))
    found = json.loads(said[1])
    assert found["failed"] > 0 == found["images"]
    assert found["failure"] == "queue full"


def test_frames_and_messages_are_taken_apart_wherever_they_were_divided() -> None:
    messages = [b"", b"one", bytes(300)]
    frames = [http2.frame(http2.DATA, 0, 1, http2.message(each)) for each in messages]
    sent = b"".join([http2.frame(http2.SETTINGS, 0, 0), *frames])
    for step in (1, 7, 8, 100, len(sent)):
        parser, of_stream = http2.FrameParser(), http2.MessageParser()
        came = [frame for at in range(0, len(sent), step) for frame in parser.feed(sent[at : at + step])]
        assert [frame[:3] for frame in came] == [(http2.SETTINGS, 0, 0), *[(http2.DATA, 0, 1)] * 3]
        assert [each for frame in came for each in of_stream.feed(frame[3])] == messages
        data = b"".join(map(http2.message, messages))
        assert [
            m for at in range(0, len(data), step) for m in of_stream.feed(data[at : at + step])
        ] == messages


def test_processor_time_is_that_of_the_whole_tree_of_which_nothing_is_left() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\n"
    script = (
        f"import subprocess, sys, time\nchild = subprocess.Popen([sys.executable, '-c', {busy!r} + "
        "'print(flush=True)\\ntime.sleep(60)'], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\nprint(child.pid, flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert cpu_seconds(parent.pid) >= 0.3
        (left,) = descendants(parent.pid)
        assert left.pid == child
        end_tree(parent.pid, 0.1)  # its child ignores that it has ended
    left.wait(LATER)


def entry(rate: float) -> dict[str, Any]:
    counted = {"failed": 0, "p50_ms": 10.0, "p99_ms": 20.0, "generator_busy": 0.1}
    return {"images_per_second": rate, "cpu_ms_per_image": 2.0, **counted}


@pytest.fixture
def found() -> dict[str, Any]:
    bare = {"images_per_second": 200.0, "cpu_ms_per_image": 8.0, "size": 8, "threads": 2}
    runs: dict[tuple[str, str, Network], list[dict[str, Any]]] = {
        ("bare", "low", "real"): [bare],
        ("bare", "high", "real"): [{**bare, "images_per_second": 50.0}],
        ("ours", "gRPC sessions", "real"): [entry(190), entry(170)],
        ("ours", "gRPC sessions", "stub"): [entry(3000)],
        ("ours", "REST", "real"): [entry(160)],
        ("peers", "one", "real"): [entry(120)],
        ("peers", "other", "real"): [entry(60)],
        ("peers", "other", "stub"): [entry(600)],
    }
    setup = {
        "model": "m",
        "stage": "low",
        "in_flight": 64,
        "seconds": 5.0,
        "rounds": 2,
        "payload_bytes": 150.4,
    }
    setup |= {"peer_workers": 2, "peer_batch": 8, "device": "cpu"}
    about = {"processor": "P", "cores": 2, "load": 0.1, "when": "now"}
    return report.document(about, setup, runs, ["Ray Serve left out"])


def test_ratios_are_to_the_bare_stage_and_the_best_peer(found: dict[str, Any]) -> None:
    assert (found["ratio_bare"], found["ratio_peers"], found["ratio_peers_stub"]) == (0.9, 1.5, 5.0)
    assert (found["rest_ratio_bare"], found["rest_ratio_peers"]) == (0.8, 1.333)
    assert found["rest_ratio_peers_stub"] is None
    assert found["ours"][0]["rounds"] == [190, 170]


def test_the_page_has_a_row_for_each_server_and_says_how_it_was_measured(
    found: dict[str, Any], tmp_path: Path
) -> None:
    page = tmp_path / "serving.md"
    page.write_text(report.PAGE.read_text("utf-8"), "utf-8")
    pages.fill(page, {"serve": report.markdown(found)})
    text = page.read_text("utf-8")
    assert "| bare low network, batches of 8, 2 at a time | real | 200 |" in text
    assert "| Overtone, gRPC sessions | real | 180 | 170, 190 | 2.00 | 10 | 20 |" in text
    assert "Overtone's sessions reach 0.90 times the bare network's images/s; 1.50 times" in text
    assert "Ray Serve left out" in text


def test_a_mistyped_network_is_named() -> None:
    with pytest.raises(ValueError, match="'stubb' is none of real, stub"):
        checked("stubb", ("real", "stub"))
