"""The files of the live page over HTTP: what comes with them, and what stays out of their way."""

import httpx
import pytest

from tests.gpu_server.conftest import SHARED_LOOP, client_of
from tests.serving import Serve

pytestmark = SHARED_LOOP

FILES = [
    "/",
    "/page/app.js",
    "/page/base.css",
    "/page/client/rest.js",
    "/page/device/device.js",
    "/page/device/overtone.wasm",
    "/page/cat.jpg",
]
KINDS = [
    "text/html",
    "text/javascript",
    "text/css",
    "text/javascript",
    "text/javascript",
    "application/wasm",
    "image/jpeg",
]


@pytest.mark.parametrize(("path", "kind"), [*zip(FILES, KINDS, strict=True)])
async def test_files_come_with_their_types_and_a_strict_policy(
    path: str, kind: str, http: httpx.AsyncClient
) -> None:
    response = await http.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(kind)
    policy = response.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "http" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_what_a_browser_has_is_not_sent_again(http: httpx.AsyncClient) -> None:
    first = await http.get("/page/app.js")
    again = await http.get("/page/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = await http.get("/page/app.js", headers={"if-none-match": '"another"'})
    assert other.status_code == 200


async def test_text_is_compressed_for_those_who_can_read_it(http: httpx.AsyncClient) -> None:
    packed = await http.get("/page/device/overtone.wasm", headers={"accept-encoding": "gzip"})
    plain = await http.get("/page/device/overtone.wasm", headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) / 2


async def test_only_its_files_are_served(http: httpx.AsyncClient) -> None:
    for path in (
        "/page/",
        "/page/none.js",
        "/page/device/image.c",
        "/page/client/index.d.ts",
        "/page/../serve.py",
        "/page/%2e%2e/serve.py",
    ):
        assert (await http.get(path)).status_code == 404
    assert (await http.post("/")).status_code == 405
    assert (await http.head("/")).status_code == 200


async def test_it_is_no_part_of_the_documented_interface(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    assert not [path for path in paths if path == "/" or path.startswith("/page")]


async def test_it_is_open_where_tokens_are_needed_and_can_be_switched_off(serve: Serve) -> None:
    async with serve(tokens=("secret",)) as server, client_of(server) as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/v1/model")).status_code == 401
        assert server.page == f"http://127.0.0.1:{server.http_port}/"
    async with serve(page=False) as server, client_of(server) as client:
        assert (await client.get("/")).status_code == 404
        assert server.page is None


async def test_the_administrators_port_has_no_page(serve: Serve) -> None:
    async with serve(admin_port=0) as server:
        base = f"http://{server.host}:{server.admin_port}"
        async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
            assert (await client.get("/")).status_code == 404
            assert (await client.get("/readyz")).status_code == 200
