"""Who may do what at the administrators' port."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
import pytest_asyncio

from overtone.frequency import Encoded
from overtone.gpu_server.limits import tokens
from overtone.gpu_server.limits.quota import Quota
from overtone.gpu_server.limits.role import Role
from overtone.gpu_server.rest.admin import create_admin_app
from overtone.gpu_server.rest.api import create_app
from overtone.gpu_server.serve import Running
from overtone.protos import overtone_pb2 as pb
from tests.gpu_server.conftest import SHARED_LOOP, client_of, connected
from tests.gpu_server.test_access import bearer, metadata, replace
from tests.gpu_server.test_grpc_server import stub_of
from tests.gpu_server.test_repository import admin_of, place
from tests.gpu_server.test_rest_api import ALWAYS, error, first
from tests.serving import Serve
from tests.waiting import until

pytestmark = SHARED_LOOP

READ = [("GET", path) for path in ("/metrics", "/docs", "/openapi.json")] + [("POST", "/v2/repository/index")]
CHANGE = [("POST", f"/v2/repository/models/tiny/{what}") for what in ("unload", "load")]
OPEN = [("GET", "/livez"), ("GET", "/readyz")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.toml"


@pytest.fixture
def known(file: Path) -> dict[str, str]:
    """A token of each role, by its name."""
    made = {role: tokens.create(role, Quota(), role) for role in Role}
    replace(file, "\n".join(lines for _, lines in made.values()))
    return {str(role): token for role, (token, _) in made.items()}


@pytest_asyncio.fixture(loop_scope="session")
async def guarded(
    serve: Serve, tiny_checkpoint: Path, tmp_path: Path, file: Path, known: dict[str, str]
) -> AsyncIterator[Running]:
    place(tiny_checkpoint, tmp_path / "models/tiny.safetensors")
    models = tmp_path / "models"
    async with serve(
        models=models, device="stub", admin_port=0, tokens_file=file, watch_interval=0.01
    ) as server:
        yield server


async def statuses(
    client: httpx.AsyncClient, routes: list[tuple[str, str]], token: str | None = None
) -> set[int]:
    headers = {} if token is None else bearer(token)
    return {(await client.request(*route, headers=headers)).status_code for route in routes}


async def test_each_role_may_do_what_it_is_for(guarded: Running, known: dict[str, str]) -> None:
    async with admin_of(guarded) as admin:
        for token in (None, "wrong"):
            assert await statuses(admin, [*READ, *CHANGE], token) == {401}
        assert (await admin.get("/metrics")).headers["www-authenticate"] == "Bearer"
        assert await statuses(admin, [*READ, *CHANGE], known["device"]) == {403}
        assert await statuses(admin, READ, known["monitor"]) == {200}
        assert await statuses(admin, CHANGE, known["monitor"]) == {403}
        assert await statuses(admin, [*READ, *CHANGE], known["admin"]) == {200}
        assert await statuses(admin, OPEN) == {200}


async def test_no_route_is_forgotten_above(guarded: Running) -> None:
    paths = create_admin_app(guarded.service, create_app(guarded.service)).openapi()["paths"]
    assert {path.replace("{name}", "tiny") for path in paths} == {path for _, path in READ + CHANGE + OPEN}


async def test_administrators_are_no_devices(
    guarded: Running, known: dict[str, str], encoded: Encoded
) -> None:
    async with client_of(guarded) as http, connected(guarded) as channel:
        for name, expected in (("device", 200), ("monitor", 403), ("admin", 403)):
            reply = await http.post(
                "/v1/images", params=ALWAYS, content=first(encoded), headers=bearer(known[name])
            )
            assert reply.status_code == expected
        assert error(reply) == (403, "PERMISSION_DENIED")
        assert "token admin has the role admin, and this needs device" in reply.text
        call = stub_of(channel).DescribeModel(pb.DescribeModelRequest(), metadata=metadata(known["admin"]))
        assert await call.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_token_that_is_taken_out_is_refused_even_if_it_was_the_last(
    guarded: Running, known: dict[str, str], file: Path
) -> None:
    async with admin_of(guarded) as admin:
        replace(file, tokens.create("camera", Quota())[1])
        await until(lambda: not guarded.service.access.knows("token device"))
        assert await statuses(admin, READ, known["monitor"]) == {401}
        assert await statuses(admin, OPEN) == {200}


async def test_what_is_asked_of_the_list_is_small(guarded: Running, known: dict[str, str]) -> None:
    async with admin_of(guarded) as admin:

        async def asked(content: bytes, token: str) -> int:
            reply = await admin.post("/v2/repository/index", content=content, headers=bearer(token))
            return reply.status_code

        assert await asked(b'{"ready": true}', known["monitor"]) == 200
        assert await asked(b'{"ready": 7}', known["monitor"]) == 400
        assert await asked(b" " * 2000, known["monitor"]) == 413
        assert await asked(b" " * 2000, "wrong") == 401
