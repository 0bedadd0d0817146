import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import overtone.gpu_server.serve
import overtone.gpu_server.service
from overtone.gpu_server.errors import StartError
from overtone.gpu_server.grpc.server import NOT_SERVING, SERVING, GrpcServer
from overtone.gpu_server.networks.torch_network import TorchNetwork, open_networks
from overtone.gpu_server.service import Phase, Service
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.sockets import exposure_warnings
from tests.certificate import make_certificate
from tests.gpu_server.conftest import MakeSettings
from tests.serving import Serve

LATER = 60.0


async def test_health_follows_the_phases(settings: MakeSettings) -> None:
    service = Service(settings())
    server = GrpcServer(service)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == NOT_SERVING
        await service.load()
        assert (await watch.read()).status == SERVING
        service.phase = Phase.LEAVING
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()
    await server.stop(0)
    await service.stop()


async def test_ports_are_open_but_not_ready_while_loading(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, unused_tcp_port_factory: Callable[[], int]
) -> None:
    grpc_port, http_port = unused_tcp_port_factory(), unused_tcp_port_factory()
    let_go = asyncio.Event()
    loading = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(*arguments: Any) -> Any:
        loop.call_soon_threadsafe(loading.set)
        asyncio.run_coroutine_threadsafe(let_go.wait(), loop).result(LATER)
        return open_networks(*arguments)

    monkeypatch.setattr(overtone.gpu_server.service, "open_networks", slow)

    async def life() -> None:
        async with serve(grpc_port=grpc_port, http_port=http_port):
            pass

    task = asyncio.create_task(life())
    async with asyncio.timeout(LATER):
        await loading.wait()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            request = health_pb2.HealthCheckRequest(service="overtone.v2.Cascade")
            assert (await check(request, wait_for_ready=True)).status == NOT_SERVING
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"http://127.0.0.1:{http_port}/readyz")).status_code == 503
            assert (await http.get(f"http://127.0.0.1:{http_port}/livez")).status_code == 200
        let_go.set()
        await task


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"model": "no-such-model"}, "cannot serve"),
        ({"model": "."}, "cannot serve"),
        ({"model": "bad.safetensors"}, "cannot serve"),
        ({"device": "toaster"}, "not a device"),
    ],
)
async def test_a_model_or_device_that_cannot_be_used(
    serve: Serve, wrong: dict[str, str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(StartError, match=why):
        async with serve(**wrong):
            pass


async def test_network_that_does_not_run(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(TorchNetwork, "warm", out_of_memory)
    with pytest.raises(StartError, match="out of memory"):
        async with serve():
            pass


def test_process_serves_until_it_is_told_to_stop(tiny_checkpoint: Path) -> None:
    settings = {"MODEL": str(tiny_checkpoint), "GRPC_PORT": "0", "HTTP_PORT": "0", "HOST": "0.0.0.0"}
    settings |= {"THREADS": "1", "PAUSE": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "overtone", "serve"],
        env={**os.environ, **{f"OVERTONE_{name}": value for name, value in settings.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("overtone serving tiny: grpc 0.0.0.0:"), process.communicate(timeout=LATER)
        port = line.rpartition(":")[2].strip()
        assert process.stdout.readline() == f"  see it: http://localhost:{port}/\n"
        assert httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LATER)
    assert (process.returncode, out) == (0, "")
    (warning,) = err.splitlines()
    assert re.match(
        r"\d{4}-\d\d-\d\d .* WARNING overtone\.gpu_server\.running: everybody who can reach", warning
    )


@pytest.mark.parametrize(
    ("given", "warning"),
    [
        ({"host": "0.0.0.0"}, "everybody who can reach 0.0.0.0"),
        ({"host": "::"}, "everybody who can reach ::"),
        ({"host": "192.0.2.7"}, "everybody who can reach 192.0.2.7"),
        ({"host": "camera-gateway"}, "everybody who can reach camera-gateway"),
        ({"host": "0.0.0.0", "tokens": ("secret",)}, "tokens are sent to 0.0.0.0 unencrypted"),
        ({"host": "0.0.0.0", "tokens": ("secret",), "tls_certificate": "c", "tls_key": "k"}, None),
        ({"host": "127.0.0.1"}, None),
        ({"host": "::1"}, None),
        ({"host": "localhost", "tokens": ("secret",)}, None),
        ({"admin_port": 9464}, None),
        ({"admin_host": "0.0.0.0"}, None),
        ({"admin_host": "::", "admin_port": 9464}, "everybody who can reach [::]:9464 may read metrics;"),
        (
            {"admin_host": "0.0.0.0", "admin_port": 1, "tokens": ("secret",), "models": "."},
            "everybody who can reach 0.0.0.0:1 may read metrics, and load and unload models;",
        ),
        ({"admin_host": "0.0.0.0", "admin_port": 9464, "tokens_file": "t"}, None),
    ],
)
def test_a_server_that_others_can_reach_should_protect_itself(
    settings: MakeSettings, given: dict[str, Any], warning: str | None
) -> None:
    found = exposure_warnings(settings(**given))
    assert len(found) == (warning is not None)
    assert all(each.startswith(str(warning)) for each in found)


def test_it_says_in_one_line_why_it_cannot_start(
    settings: MakeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        overtone.gpu_server.serve.run(settings(model="no-such-model"))
    out, err = capsys.readouterr()
    assert (stopped.value.code, out) == (1, "")
    assert err.startswith("overtone: cannot serve no-such-model")
    assert err.count("\n") == 1


def test_told_to_stop_while_loading_it_does_not_say_that_it_serves(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @asynccontextmanager
    async def told_to_stop(_: Settings) -> AsyncIterator[str]:
        signal.raise_signal(signal.SIGTERM)
        for _turn in range(5):  # of the event loop, which then has heard of it
            await asyncio.sleep(0)
        yield "overtone serving"

    monkeypatch.setattr(overtone.gpu_server.serve, "running", told_to_stop)
    overtone.gpu_server.serve.run(settings())
    assert capsys.readouterr().out == ""


async def test_tls_files_that_do_not_fit_are_named(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    certificate, key = make_certificate(tmp_path)
    _, another = make_certificate(tmp_path / "theirs")
    locked, hello, nothing = (tmp_path / name for name in ("locked.pem", "hello.pem", "nothing.pem"))
    lock = f"openssl ec -in {key} -aes256 -passout pass:secret -out {locked}"
    subprocess.run(lock.split(), check=True, capture_output=True)
    hello.write_text("hello")
    for tls_certificate, tls_key, message in (
        (nothing, key, f"OVERTONE_TLS_CERTIFICATE {nothing}: No such file"),
        (certificate, nothing, f"OVERTONE_TLS_KEY {nothing}: No such file"),
        (hello, key, f"OVERTONE_TLS_CERTIFICATE {hello}: not a certificate"),
        (certificate, hello, f"OVERTONE_TLS_KEY {hello}: not the key"),
        (certificate, another, f"OVERTONE_TLS_KEY {another}: not the key"),
        (certificate, locked, f"OVERTONE_TLS_KEY {locked}: not the key"),
    ):
        with pytest.raises(StartError, match=re.escape(message)):
            async with serve(tls_key=tls_key, tls_certificate=tls_certificate):
                pass


def open_ports(host: str, *ports: int) -> list[int]:
    """Those of these ports that accept a connection at this address."""
    found = []
    for port in ports:
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=5):
            found.append(port)
    return found


@pytest.mark.parametrize(
    ("host", "reached"),
    [("127.0.0.1", {"127.0.0.1"}), ("::1", {"::1"})]
    + [(wildcard, {"127.0.0.1", "::1"}) for wildcard in ("::", "0.0.0.0")]
    + [("localhost", None)],
)
async def test_both_faces_listen_on_the_same_addresses(
    serve: Serve, host: str, reached: set[str] | None
) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    if reached is None:  # whatever it means on this machine
        reached = {str(found[4][0]) for found in socket.getaddrinfo(host, 1, type=socket.SOCK_STREAM)}
    async with serve(host=host) as server:
        ports = [server.grpc_port, server.http_port]
        assert str(server).count(f"[{host}]:" if ":" in host else f"{host}:") == 2
        for address in ("127.0.0.1", "::1"):
            assert await asyncio.to_thread(open_ports, address, *ports) == (
                ports if address in reached else []
            )


async def test_a_host_that_is_no_address(serve: Serve) -> None:
    with pytest.raises(StartError, match=r"cannot listen on no\.such\.host\.invalid"):
        async with serve(host="no.such.host.invalid"):
            pass
