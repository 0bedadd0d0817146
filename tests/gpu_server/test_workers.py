"""One server of several processes, which end and are started again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest

from overtone.frequency import Encoded, join
from overtone.gpu_server.errors import StartError
from overtone.gpu_server.workers import run_workers
from overtone.protos import overtone_pb2 as pb
from overtone.protos import overtone_pb2_grpc as stubs
from tests.gpu_server.conftest import MakeSettings

LATER = 120.0
FACES = 2


@dataclass
class Server:
    process: subprocess.Popen[str]
    grpc_port: int
    http_port: int

    def http(self) -> httpx.Client:
        """A client with connections of its own, which may reach another face than those of the last one."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self.http_port}", trust_env=False)

    def ready(self) -> bool:
        try:
            with self.http() as http:
                return http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def metric(self, name: str) -> float:
        """The sum over all labels."""
        with self.http() as http:
            lines = http.get("/metrics").text.splitlines()
        return sum(
            float(line.rpartition(" ")[2]) for line in lines if line.startswith((name + "{", name + " "))
        )

    def children(self) -> list[int]:
        """Process ids of the engine, which was started first, and of the faces."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        spawned = [int(pid) for pid in pids if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
        return sorted(spawned)


def until(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + LATER
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


@contextmanager
def serving(checkpoint: Path) -> Iterator[Server]:
    settings = {"MODEL": str(checkpoint), "GRPC_PORT": "0", "HTTP_PORT": "0", "DEVICE": "cpu", "THREADS": "1"}
    settings |= {"PAUSE": "0", "LINGER": "0.05", "WORKERS": str(FACES)}
    process = subprocess.Popen(
        [sys.executable, "-m", "overtone", "serve"],
        env={**os.environ, **{f"OVERTONE_{name}": value for name, value in settings.items()}},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert line.startswith("overtone serving tiny: grpc 127.0.0.1:")
        grpc_port, http_port = (int(part.split(",")[0]) for part in line.split("127.0.0.1:")[1:])
        yield Server(process, grpc_port, http_port)
        process.send_signal(signal.SIGINT)
        assert process.wait(LATER) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow  # five processes load torch
@pytest.mark.timeout(300)
def test_a_server_of_several_processes(tiny_checkpoint: Path, encoded: Encoded) -> None:
    with serving(tiny_checkpoint) as server:
        answered = 0
        tokens = set()
        for _ in range(12):
            with server.http() as http:
                asked = http.post(
                    "/v1/images", params={"operating_point": "never"}, content=join(encoded.layers[:1])
                )
            assert asked.status_code == 202
            tokens.add(asked.json()["token"].partition("-")[0])
            with server.http() as http:  # perhaps to the other face
                reply = http.post(asked.headers["location"], content=join(encoded.layers[1:]))
            assert reply.status_code == 200, reply.text
            assert reply.json()["stage"] == "high"
            answered += 1
        assert tokens == {"0", "1"}
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            stub = stubs.CascadeStub(channel)  # type: ignore[no-untyped-call]
            stub.Classify(pb.ClassifyRequest(layers=list(encoded.layers)))
        assert server.metric("overtone_answers_total") == answered + 1
        assert server.metric("overtone_batch_size_count") >= 2 * answered
        assert server.metric("process_resident_memory_bytes") > 0

        os.kill(server.children()[1], signal.SIGKILL)
        until(lambda: all(server.ready() for _ in range(10)))
        assert server.metric("overtone_answers_total") == answered + 1  # the dead one's are not forgotten

        os.kill(server.children()[0], signal.SIGKILL)
        until(lambda: not server.ready())
        until(lambda: all(server.ready() for _ in range(10)))
        with server.http() as http:
            assert http.post("/v1/classify", content=join(encoded.layers)).status_code == 200


def test_ports_that_are_taken_are_named(
    settings: MakeSettings, unused_tcp_port_factory: Callable[[], int]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StartError, match=rf"cannot listen on 127.0.0.1:{port} for HTTP"):
            run_workers(settings(http_port=port), 2)
