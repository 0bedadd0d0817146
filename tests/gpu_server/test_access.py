"""Tokens in a file, their quotas, and what is closed where tokens are set."""

import os
import re
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from typer.testing import CliRunner

from overtone.frequency import Encoded
from overtone.gpu_server.cli import app
from overtone.gpu_server.errors import OverQuota, StartError, Unauthenticated
from overtone.gpu_server.limits import tokens
from overtone.gpu_server.limits.access import Access
from overtone.gpu_server.limits.quota import Account, Quota
from overtone.gpu_server.limits.role import Role
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.telemetry.metrics import Metrics
from overtone.protos import overtone_pb2 as pb
from tests.gpu_server.conftest import Clock, client_of, connected, value
from tests.gpu_server.test_grpc_server import error_code, session, stub_of
from tests.gpu_server.test_rest_api import ALWAYS, error, first
from tests.serving import Serve
from tests.waiting import until

FULL = 8


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def metadata(token: str) -> tuple[tuple[str, str], ...]:
    return tuple(bearer(token).items())


def write(file: Path, **quotas: Quota) -> dict[str, str]:
    """A file of new tokens with these names and quotas; returns the tokens."""
    made = {name: tokens.create(name, quota) for name, quota in quotas.items()}
    replace(file, "\n".join(lines for _, lines in made.values()))
    return {name: token for name, (token, _) in made.items()}


def replace(file: Path, text: str) -> None:
    """At once, as a careful administrator does it."""
    new = file.with_suffix(".new")
    new.write_text(text)
    os.replace(new, file)


def test_what_the_command_prints_is_a_line_of_the_file(tmp_path: Path) -> None:
    options = "--images-per-second 20 --bytes-per-second 1e5 --sessions 4"
    done = CliRunner().invoke(app, ["token", "front door", *options.split()])
    assert done.exit_code == 0, done.output
    token = done.stderr.strip()
    assert token.startswith("ovt_")
    assert token not in done.stdout
    file = tmp_path / "tokens.toml"
    file.write_text(done.stdout)
    access = Access(Settings(tokens_file=file), Metrics())
    assert access.admit(f"Bearer {token}", "") == "token front door"
    assert access.account("token front door").quota == Quota(20, 100_000, 4)


def test_the_command_makes_tokens_of_each_role(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["token", "prometheus", "--role", "monitor"])
    assert done.exit_code == 0, done.output
    file = tmp_path / "tokens.toml"
    file.write_text(done.stdout)
    assert tokens.read(file)["prometheus"].role is Role.MONITOR
    refused = CliRunner().invoke(app, ["token", "prometheus", "--role", "monitor", "--sessions", "2"])
    assert refused.exit_code != 0
    assert "quotas are for devices" in refused.output


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[a", "Expected"),
        ('[a]\nsha256 = "secret"', r"a\.sha256: String should match"),
        ("[a]\nsessions = 3", r"a\.sha256: Field required"),
        ('[a]\nsha256 = "{0}"\nimages = 3', r"a\.images: Extra inputs"),
        ('[a]\nsha256 = "{0}"\nimages_per_second = inf', r"a\.images_per_second: .*finite"),
        ('[a]\nsha256 = "{0}"\nsessions = 0', r"a\.sessions: .*greater than 0"),
        ('[a]\nsha256 = "{0}"\n[b]\nsha256 = "{0}"', "a and b are the same token"),
        ('[a]\nsha256 = "{0}"\nrole = "king"', r"a\.role: .*'device', 'monitor' or 'admin'"),
        (
            '[a]\nsha256 = "{0}"\nrole = "admin"\nsessions = 1',
            "a: quotas are for devices, and the role is admin",
        ),
        ('["a\\n"]\nsha256 = "{0}"', "printable characters"),
        ('["#1"]\nsha256 = "{0}"', "does not begin with #"),
        ("a = 3", "a: Input should be a valid dictionary"),
    ],
)
def test_a_file_that_is_not_valid_is_refused_in_one_line(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(text.replace("{0}", "0" * 64))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(file))}: .*{why}") as refused:
        Access(Settings(tokens_file=file), Metrics())
    assert "\n" not in str(refused.value)


async def test_a_server_does_not_start_without_its_file(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"OVERTONE_TOKENS_FILE .*none\.toml: No such file"):
        async with serve(tokens_file=tmp_path / "none.toml"):
            pass


def test_tokens_of_the_command_line_and_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    made = write(file, ann=Quota(), bob=Quota())
    access = Access(Settings(tokens=("plain",), tokens_file=file), Metrics())
    owners = {access.admit(f"Bearer {token}", "") for token in ("plain", *made.values())}
    assert owners == {"token ann", "token bob", "token #1"}
    for wrong in (None, "", "Bearer", "Bearer wrong", f"Basic {made['ann']}", tokens.digest(made["ann"])):
        with pytest.raises(Unauthenticated):
            access.admit(wrong, "")


def test_an_empty_file_lets_nobody_in(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.touch()
    with pytest.raises(Unauthenticated):
        Access(Settings(tokens_file=file), Metrics()).admit(None, "")


def test_quotas_are_token_buckets(clock: Clock) -> None:
    refused: list[str] = []
    account = Account("token a", Quota(2, 100), refused.append, clock)
    for _ in range(2):
        account.take_image()
    with pytest.raises(OverQuota, match=r"^token a may have 2 images a second; try again later$") as many:
        account.take_image()
    assert many.value.retry_after == pytest.approx(0.5)
    clock.now += 0.5
    account.take_image()
    clock.now += 60  # no more than a second's worth is saved up
    for _ in range(2):
        account.take_image()
    assert refused == ["images"]

    account.spend_bytes(350)  # their number was not known before
    clock.now += 1
    with pytest.raises(OverQuota, match="100 bytes a second") as large:
        account.take_image()
    assert large.value.retry_after == pytest.approx(1.51)
    assert account.pause() == pytest.approx(0.51)  # and somebody who goes on all the same is not read
    clock.now += 2
    account.take_image()
    assert refused == ["images", "bytes"]


def test_a_slow_quota_lets_one_image_in(clock: Clock) -> None:
    account = Account("token a", Quota(0.1), clock=clock)
    account.take_image()
    with pytest.raises(OverQuota) as second:
        account.take_image()
    assert second.value.retry_after == pytest.approx(10)


async def test_quota_of_images_and_bytes_in_a_session(serve: Serve, encoded: Encoded, tmp_path: Path) -> None:
    low, file = encoded.layers[0], tmp_path / "tokens.toml"
    made = write(file, ann=Quota(images_per_second=0.01), bob=Quota(bytes_per_second=0.01), eve=Quota())
    async with serve(tokens_file=file) as server, connected(server) as channel:
        for name, limit in (("ann", "0.01 images a second"), ("bob", "0.01 bytes a second")):
            async with session(channel, metadata=metadata(made[name])) as device:
                await device.image(1, low)
                assert isinstance(await device.hear(), pb.Answer)
            # All sessions and calls of a token together.
            request = pb.ClassifyRequest(layers=encoded.layers)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub_of(channel).Classify(request, metadata=metadata(made[name]))
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert f"token {name} may have {limit}" in str(refused.value.details())
            trailing: Any = refused.value.trailing_metadata()
            assert int(dict(trailing)["grpc-retry-pushback-ms"]) > 10_000
        async with session(channel, metadata=metadata(made["ann"])) as device:
            await device.image(1, low)
            message = await device.hear()
            assert error_code(message) == FULL
            assert message.retry_after_ms > 10_000
        async with session(channel, metadata=metadata(made["eve"])) as device:
            for number in range(3):
                await device.image(number, low)
                assert isinstance(await device.hear(), pb.Answer)
        assert value(server.service.metrics, "overtone_shed_total", stage="quota", reason="images") == 2
        assert value(server.service.metrics, "overtone_shed_total", stage="quota", reason="bytes") == 1


async def test_quota_over_rest(serve: Serve, encoded: Encoded, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    made = write(file, ann=Quota(images_per_second=0.01), bob=Quota(bytes_per_second=1))
    async with serve(tokens_file=file) as server, client_of(server) as http:
        for name, limit in (("ann", "0.01 images"), ("bob", "1 bytes")):
            for status in (200, 429):
                reply = await http.post(
                    "/v1/images", params=ALWAYS, content=first(encoded), headers=bearer(made[name])
                )
                assert reply.status_code == status
            assert error(reply) == (429, "RESOURCE_EXHAUSTED")
            assert limit in reply.json()["error"]["message"]
            assert int(reply.headers["retry-after"]) > 10


async def test_quota_of_sessions(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    made = write(file, ann=Quota(sessions=1), bob=Quota())
    async with serve(tokens_file=file) as server, connected(server) as channel:
        ann, bob = metadata(made["ann"]), metadata(made["bob"])
        async with (
            session(channel, metadata=ann),
            session(channel, metadata=bob),
            session(channel, metadata=bob),
            session(channel, metadata=ann, refused=True) as second,
        ):
            assert await second.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "token ann may have 1 open sessions" in await second.call.details()
        await until(lambda: value(server.service.metrics, "overtone_sessions") == 0)
        async with session(channel, metadata=ann):
            pass


async def test_the_file_is_read_again_when_it_changes(
    serve: Serve, encoded: Encoded, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "tokens.toml"
    made = write(file, ann=Quota(images_per_second=0.01), bob=Quota())
    async with (
        serve(tokens_file=file, watch_interval=0.01) as server,
        connected(server) as channel,
        client_of(server) as http,
        session(channel, metadata=metadata(made["bob"])) as device,
    ):

        async def status(token: str) -> int:
            reply = await http.post(
                "/v1/images", params=ALWAYS, content=first(encoded), headers=bearer(token)
            )
            return reply.status_code

        assert [await status(made["ann"]) for _ in range(2)] == [200, 429]
        lines = file.read_text()
        replace(file, lines + "\nnonsense")
        await until(lambda: "the tokens stay as they were" in caplog.text)
        assert await status(made["ann"]) == 429  # nothing is forgotten
        token, added = tokens.create("eve", Quota())
        ann = lines.partition("[bob]")[0].replace("0.01", "1000")
        replace(file, ann + added)
        assert isinstance(await device.hear(), pb.GoAway)  # its token is gone
        assert [await status(each) for each in (made["ann"], made["bob"], token)] == [200, 401, 200]


async def test_what_is_closed_where_tokens_are_set(serve: Serve) -> None:
    pages = ("/metrics", "/docs", "/openapi.json", "/redoc")
    async with serve(tokens=("secret",)) as server, client_of(server) as http:
        for headers in ({}, bearer("secret")):
            assert [(await http.get(path, headers=headers)).status_code for path in pages] == [404] * 4
        assert [(await http.get(path)).status_code for path in ("/livez", "/readyz")] == [200, 200]


async def test_an_admin_port_has_them_instead(serve: Serve) -> None:
    for protected in ({"tokens": ("secret",)}, {}):
        async with serve(admin_port=0, **protected) as server, client_of(server) as http:
            assert (await http.get("/metrics")).status_code == 404
            assert f", admin 127.0.0.1:{server.admin_port}" in str(server)
            address = f"http://127.0.0.1:{server.admin_port}"
            async with httpx.AsyncClient(base_url=address, trust_env=False) as admin:
                # Prometheus sends this where its file of a token is empty.
                found = await admin.get("/metrics", headers={"authorization": "Bearer"})
                assert "overtone_arrived_total" in found.text
                assert "/openapi.json" in (await admin.get("/docs")).text
                assert "/v1/images" in (await admin.get("/openapi.json")).json()["paths"]
                assert (await admin.get("/readyz")).text == "ready"
                assert (await admin.post("/v1/images", content=b"x")).status_code == 404


async def test_reflection_is_closed_where_tokens_are_set_unless_it_is_wanted(serve: Serve) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    for wanted, code in ((None, grpc.StatusCode.UNIMPLEMENTED), (True, grpc.StatusCode.OK)):
        async with serve(tokens=("secret",), reflection=wanted) as server, connected(server) as channel:
            call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
            if wanted:
                await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
                await call.done_writing()
                await call.read()
            assert await call.code() is code
