"""The client against the real server with a tiny network, over a real link."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from overtone.edge_client import AsyncClient, Tls, errors, grpc_transport, rest_transport
from overtone.frequency import Encoded
from overtone.gpu_server.serve import Running
from overtone.link import Link
from tests.certificate import make_certificate
from tests.conftest import Photograph
from tests.serving import Serve

SCHEMES = ["grpc", "http"]
POLICIES = ["on_demand", "ahead", "at_once", "auto"]


def place(server: Running, scheme: str) -> str:
    return f"{server.host}:{server.grpc_port if scheme.startswith('grpc') else server.http_port}"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("point", "stage"), [("always", "low"), ("never", "high")])
async def test_every_way_through_a_link(
    scheme: str, policy: Any, point: str, stage: str, serve: Serve, photograph: Photograph, encoded: Encoded
) -> None:
    async with serve() as server, Link(place(server, scheme), up="2mbit", down="2mbit", rtt="4ms") as link:
        address = f"{scheme}://{link.address}"
        async with AsyncClient(address, policy=policy, operating_point=point, top=3) as client:
            before = link.total.up
            results = [result.get() async for result in client.stream([photograph] * 4)]
            carried = (await link.settled(0.1))[0] - before
    assert [answer.stage for answer in results] == [stage] * 4
    assert {answer.layers for answer in results} == {1 if stage == "low" else 2}
    assert [answer.confident for answer in results] == [stage == "low"] * 4
    assert all(len(answer.top) == 3 and answer.confidence == answer.top[0].probability for answer in results)
    low, both = len(encoded.layers[0]), encoded.size
    # More may be under way already where it is sent unasked and the first layer suffices.
    least, most = (
        (both if stage == "high" else low),
        (low if (policy, stage) == ("on_demand", "low") else both),
    )
    assert all(least <= answer.bytes_sent <= most for answer in results)
    assert carried >= sum(answer.bytes_sent for answer in results)


@pytest.mark.parametrize("policy", POLICIES)
async def test_both_faces_give_the_same_answer(policy: Any, serve: Serve, photograph: Photograph) -> None:
    answers = []
    async with serve() as server:
        for scheme in SCHEMES:
            address = f"{scheme}://{place(server, scheme)}"
            async with AsyncClient(address, policy=policy, operating_point="never", top=10) as client:
                answers.append(await client.classify(photograph))
    assert [s.index for s in answers[0].top] == [s.index for s in answers[1].top]
    assert answers[0].confidence == pytest.approx(answers[1].confidence)
    assert answers[0].model == answers[1].model == "tiny"


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_tokens(scheme: str, serve: Serve, photograph: Photograph) -> None:
    async with serve(tokens=("open-sesame",)) as server:
        address = f"{scheme}://{place(server, scheme)}"
        async with AsyncClient(address, token="open-sesame", operating_point="never") as client:
            assert (await client.classify(photograph)).stage == "high"
        for wrong in (None, "guess"):
            with pytest.raises(errors.Unauthenticated):
                async with AsyncClient(address, token=wrong):
                    pass


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_an_unknown_operating_point(scheme: str, serve: Serve, photograph: Photograph) -> None:
    async with serve() as server:
        with pytest.raises(errors.BadPayload, match="operating"):
            async with AsyncClient(f"{scheme}://{place(server, scheme)}", operating_point="?") as client:
                await client.classify(photograph)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_state_the_server_had_no_room_for(
    scheme: str, serve: Serve, photograph: Photograph, encoded: Encoded
) -> None:
    """The first layer does not fit the store, so it comes again with the second, and that needs no store."""
    async with serve(state_bytes=600) as server:
        address = f"{scheme}://{place(server, scheme)}"
        async with AsyncClient(address, operating_point="never", timeout=10.0) as client:
            answer = await client.classify(photograph)
    assert answer.layers == 2
    # In a session, the server may say so before the second layer has been sent alone.
    least = encoded.size + len(encoded.layers[0]) if scheme == "grpc" else 2 * encoded.size
    assert least <= answer.bytes_sent <= 2 * encoded.size


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("policy", POLICIES)
async def test_a_link_that_goes_is_a_clear_error_and_one_that_comes_back_carries(
    scheme: str, policy: Any, serve: Serve, photograph: Photograph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_transport, "PAUSES", (0.0, 0.1, 0.2))
    monkeypatch.setattr(rest_transport, "PAUSES", (0.0, 0.1, 0.2))
    async with serve() as server, Link(place(server, scheme)) as link:
        client = AsyncClient(
            f"{scheme}://{link.address}", policy=policy, operating_point="never", timeout=5.0
        )
        async with client:
            await link.cut(reset=False)
            asking = asyncio.create_task(client.classify(photograph))
            await asyncio.sleep(0.1)
            await link.cut()
            with pytest.raises((errors.Unavailable, errors.DeadlineExceeded)):
                await asking
            link.restore()
            assert (await client.classify(photograph)).stage == "high"


async def test_a_session_sent_away_for_its_age_goes_on_in_a_new_one(
    serve: Serve, photograph: Photograph
) -> None:
    async with (
        serve(session_age=0.2) as server,
        AsyncClient(f"grpc://{place(server, 'grpc')}", operating_point="never") as client,
    ):
        for _ in range(12):
            assert (await client.classify(photograph)).stage == "high"
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("scheme", ["grpcs", "https"])
async def test_tls(scheme: str, serve: Serve, photograph: Photograph, tmp_path: Path) -> None:
    public, key = make_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    other, _ = make_certificate(tmp_path / "other")
    async with serve(tls_certificate=public, tls_key=key) as server:
        address = f"{scheme}://{place(server, scheme)}"
        async with AsyncClient(address, tls=Tls(public), operating_point="always") as client:
            assert (await client.classify(photograph)).stage == "low"
        for tls in (None, Tls(other)):
            with pytest.raises(
                errors.Untrusted, match=r"certificate is not trusted \(.*self.signed.*--ca FILE"
            ):
                async with AsyncClient(address, tls=tls, timeout=5.0):
                    pass


@pytest.mark.parametrize("scheme", ["grpcs", "https"])
async def test_a_server_that_asks_for_certificates(
    scheme: str, serve: Serve, photograph: Photograph, tmp_path: Path
) -> None:
    public, key = make_certificate(tmp_path)
    (tmp_path / "mine").mkdir()
    mine, my_key = make_certificate(tmp_path / "mine", "camera-7")
    async with serve(tls_certificate=public, tls_key=key, tls_client_ca=mine) as server:
        address = f"{scheme}://{place(server, scheme)}"
        async with AsyncClient(address, tls=Tls(public, mine, my_key), operating_point="always") as client:
            assert (await client.classify(photograph)).stage == "low"
        with pytest.raises(errors.Unavailable, match="it may ask for this client's certificate"):
            async with AsyncClient(address, tls=Tls(public), timeout=5.0):
                pass
