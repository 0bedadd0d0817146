import runpy
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import grpc
import pytest
import pytest_asyncio

from tests.deploy.stack import DEPLOY

check = runpy.run_path(str(DEPLOY / "healthy.py"))["check"]


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def page() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest_asyncio.fixture
async def greeter() -> AsyncIterator[str]:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"grpc://127.0.0.1:{port}"
    await server.stop(0)


@contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """A server that sends these bytes to its first client and disconnects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"grpc://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_not_ready(page: str) -> None:
    with pytest.raises(OSError, match="503") as refused:
        check(f"{page}/loading")
    refused.value.close()  # type: ignore[attr-defined]


def test_ready(page: str, greeter: str) -> None:
    check(f"{page}/readyz")
    check(greeter)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0"])
def test_a_server_that_is_not_grpc(reply: bytes) -> None:
    with answering(reply) as address, pytest.raises(ValueError, match="no HTTP/2 server"):
        check(address)


def test_no_server() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        for scheme in ("http", "grpc"):
            with pytest.raises(OSError, match="refused"):
                check(f"{scheme}://127.0.0.1:{taken.getsockname()[1]}")


def test_an_address_of_another_kind() -> None:
    with pytest.raises(ValueError, match="begin with http://"):
        check("ftp://127.0.0.1:1")
