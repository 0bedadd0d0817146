"""The client against the real server with a tiny detector, over a real link."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overtone.edge_client import AsyncClient, Detected, WrongTask, encode_image
from overtone.frequency import encode, letter_boxed, open_rgb
from overtone.gpu_server.serve import Running, running
from overtone.link import Link
from tests.conftest import Photograph
from tests.edge_client.fakes import in_thread
from tests.edge_client.test_real_server import place
from tests.serving import Serve, quick_settings

SCHEMES = ["grpc", "http"]


@pytest.fixture(scope="module")
def server(tiny_detector: Path) -> Iterator[Running]:
    with in_thread(running(quick_settings(tiny_detector, batch_sizes=(1,)))) as found:
        yield found


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("policy", ["auto", "at_once"])
async def test_every_way_through_a_link(
    scheme: str, policy: Any, server: Running, photograph: Photograph
) -> None:
    async with Link(place(server, scheme), up="2mbit", down="2mbit", rtt="4ms") as link:
        for point, stage in (("always", "low"), ("never", "high")):
            address = f"{scheme}://{link.address}"
            async with AsyncClient(address, policy=policy, operating_point=point) as client:
                results = [result.get() async for result in client.stream([photograph] * 2, task="detect")]
                whole = encode(letter_boxed(open_rgb(photograph), client.profile.size), client.profile)
            assert [answer.stage for answer in results] == [stage] * 2
            assert {answer.layers for answer in results} == {1 if stage == "low" else 2}
            assert all(len(whole.layers[0]) <= answer.bytes_sent for answer in results)
            assert {found.label for answer in results for found in answer.detections} <= {"red", "blue"}
            assert len({answer.detections for answer in results}) == 1


async def test_both_faces_give_the_same_answer_and_only_blocks_are_sent(
    server: Running, photograph: Photograph
) -> None:
    answers = [await ask(server, scheme, photograph, policy="on_demand") for scheme in SCHEMES]
    everything = await ask(server, "grpc", photograph, policy="at_once", operating_point="never")
    one, other = answers
    assert (one.stage, one.layers, one.bytes_sent) == (other.stage, other.layers, other.bytes_sent)
    assert [found.index for found in one.detections] == [found.index for found in other.detections]
    left, right = ([list(found.box) for found in each.detections] for each in answers)
    assert np.allclose(left, right, atol=1e-5)
    assert one.stage == "high", "the tiny detector is in doubt"
    assert one.bytes_sent < everything.bytes_sent


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_detector_does_not_classify(scheme: str, server: Running, photograph: Photograph) -> None:
    async with AsyncClient(f"{scheme}://{place(server, scheme)}") as client:
        with pytest.raises(WrongTask, match="detect"):
            await client.classify(photograph)
        coded = encode_image(photograph, client.profile, task="detect")
        assert (await client.detect(coded)).model == "tiny-detector"


async def test_a_classifier_does_not_detect(serve: Serve, photograph: Photograph) -> None:
    async with serve() as server:
        for scheme in SCHEMES:
            with pytest.raises(WrongTask, match="classify"):
                await ask(server, scheme, photograph)


async def ask(server: Running, scheme: str, picture: Photograph, **options: Any) -> Detected:
    async with AsyncClient(f"{scheme}://{place(server, scheme)}", **options) as client:
        return await client.detect(picture)
