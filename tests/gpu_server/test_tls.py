"""Certificates of clients, and certificates that are replaced while the server runs; both faces."""

import asyncio
import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import pytest

from overtone.gpu_server.errors import StartError
from overtone.gpu_server.serve import Running
from overtone.gpu_server.telemetry import logs
from overtone.protos import overtone_pb2 as pb
from tests.certificate import make_certificate
from tests.gpu_server.test_grpc_server import stub_of
from tests.serving import Serve
from tests.waiting import LATER, until

Pair = tuple[Path, Path]


def pair(folder: Path, name: str = "localhost") -> Pair:
    folder.mkdir()
    return make_certificate(folder, name)


async def over_http(server: Running, trusted: Path, mine: Pair | None = None) -> bool:
    """Whether a client with this certificate, which trusts the server's one, is let in."""
    context = ssl.create_default_context(cafile=trusted)
    if mine is not None:
        context.load_cert_chain(*mine)
    async with httpx.AsyncClient(verify=context, trust_env=False) as http:
        try:
            return (await http.get(f"https://{server.host}:{server.http_port}/v1/model")).is_success
        except httpx.TransportError:
            return False


async def over_grpc(server: Running, trusted: Path, mine: Pair | None = None) -> bool:
    """The same."""
    own = (mine[1].read_bytes(), mine[0].read_bytes()) if mine else (None, None)
    credentials = grpc.ssl_channel_credentials(trusted.read_bytes(), *own)
    async with grpc.aio.secure_channel(
        f"{server.host}:{server.grpc_port}", credentials, options=(("grpc.use_local_subchannel_pool", 1),)
    ) as channel:
        call = stub_of(channel).DescribeModel(pb.DescribeModelRequest(), timeout=LATER)
        code = await call.code()
        assert code in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)
        return bool(code is grpc.StatusCode.OK)


async def over_both(server: Running, trusted: Path, mine: Pair | None = None) -> tuple[bool, bool]:
    return await asyncio.gather(over_http(server, trusted, mine), over_grpc(server, trusted, mine))


async def are_let_in(server: Running, trusted: Path, mine: Pair | None = None) -> bool:
    """Over both faces alike."""
    http, grpc_ = await over_both(server, trusted, mine)
    assert http == grpc_
    return http


def put(source: Pair, target: Pair) -> None:
    for each, place in zip(source, target, strict=True):
        new = place.with_suffix(".new")
        new.write_bytes(each.read_bytes())
        os.replace(new, place)


@contextmanager
def accesses(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Who has been served, by the access log."""
    owners: list[str] = []
    with caplog.at_level(logging.INFO, logs.access_log.name):
        yield owners
        owners += [each.__dict__["fields"]["owner"] for each in caplog.records if hasattr(each, "fields")]


async def test_clients_show_a_certificate_which_names_them(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own, known, unknown = pair(tmp_path / "own"), pair(tmp_path / "a", "camera-7"), pair(tmp_path / "b")
    async with serve(tls_certificate=own[0], tls_key=own[1], tls_client_ca=known[0]) as server:
        assert not await are_let_in(server, own[0])
        assert not await are_let_in(server, own[0], unknown)
        with accesses(caplog) as owners:
            assert await are_let_in(server, own[0], known)
        assert owners == ["certificate camera-7"] * 2


async def test_certificates_are_read_again(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server's own one and the authority of the clients; a pair that does not fit changes nothing."""
    used, old, new = (pair(tmp_path / name) for name in ("used", "old", "new"))
    ann, bob = pair(tmp_path / "ann", "ann"), pair(tmp_path / "bob", "bob")
    authority = tmp_path / "authority.pem"
    put(old, used)
    authority.write_bytes(ann[0].read_bytes())
    settings = {"tls_certificate": used[0], "tls_key": used[1], "tls_client_ca": authority}
    async with serve(**settings, watch_interval=0.01) as server:
        assert await are_let_in(server, old[0], ann)
        used[0].write_bytes(new[0].read_bytes())
        await until(lambda: "the certificates stay as they were" in caplog.text)
        assert await are_let_in(server, old[0], ann)
        caplog.clear()
        with caplog.at_level(logging.INFO):
            put(new, used)
            authority.write_bytes(bob[0].read_bytes())
            async with asyncio.timeout(LATER):
                # The files may be read between the two handshakes.
                while not all(await over_both(server, new[0], bob)):
                    await asyncio.sleep(0.01)
        assert not await are_let_in(server, old[0], bob)
        assert not await are_let_in(server, new[0], ann)


async def test_an_authority_that_cannot_be_used(serve: Serve, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    with pytest.raises(StartError, match=r"OVERTONE_TLS_CLIENT_CA .*not a certificate in PEM"):
        async with serve(tls_certificate=certificate, tls_key=key, tls_client_ca=nonsense):
            pass
