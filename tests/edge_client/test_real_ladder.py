"""The client against the real server with a ladder of three layers, over a real link."""

from pathlib import Path
from typing import Any

import pytest

from overtone.edge_client import AsyncClient
from overtone.frequency import THREE_LAYERS, Encoded, Profile, encode, fit, open_rgb
from overtone.link import Link
from overtone.models import OperatingPoint, read_card, rewrite
from tests.conftest import Photograph
from tests.ladders import with_ladder
from tests.serving import Serve

# From which confidence on an answer is final, after the first layer and after the second.
POINTS = {"one": (0.0, 0.0), "two": (1.1, 0.0), "three": (1.1, 1.1)}
NEEDS = {"one": 1, "two": 2, "three": 3, "jump": 3}


@pytest.fixture(scope="module")
def profile(tiny_profile: Profile) -> Profile:
    return with_ladder(tiny_profile, THREE_LAYERS, name="three")


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path, profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The random cascade on three layers; its operating points say how many layers an image needs."""
    points = [OperatingPoint(name=name, thresholds=thresholds) for name, thresholds in POINTS.items()]
    points.append(OperatingPoint(name="jump", thresholds=(1.1, 1.1), all_below=(1.1, 0.0)))
    changes: dict[str, Any] = {"name": "three", "profile": profile, "temperatures": (1.0, 1.0, 1.0)}
    changes |= {"operating_points": tuple(points), "operating_point": "three"}
    path = tmp_path_factory.mktemp("three") / "three.safetensors"
    rewrite(tiny_checkpoint, read_card(tiny_checkpoint).model_copy(update=changes), path)
    return str(path)


@pytest.fixture(scope="module")
def three(photograph: Photograph, profile: Profile) -> Encoded:
    return encode(fit(open_rgb(photograph), profile.size), profile)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
@pytest.mark.parametrize("policy", ["on_demand", "ahead", "at_once", "auto"])
async def test_every_policy_gets_the_same_answers(
    scheme: str, policy: Any, serve: Serve, checkpoint: str, photograph: Photograph, three: Encoded
) -> None:
    async with serve(model=checkpoint) as server:
        port = server.grpc_port if scheme == "grpc" else server.http_port
        async with Link(f"{server.host}:{port}", up="2mbit", down="2mbit", rtt="20ms") as link:
            for point, needs in NEEDS.items():
                address = f"{scheme}://{link.address}"
                async with AsyncClient(address, policy=policy, operating_point=point) as client:
                    answers = [result.get() async for result in client.stream([photograph] * 6)]
                assert {answer.layers for answer in answers} == {needs}
                assert {answer.stage for answer in answers} == {"high" if needs == 3 else "low"}
                least = sum(map(len, three.layers[:needs]))
                most = least if policy == "on_demand" else three.size
                assert all(least <= answer.bytes_sent <= most for answer in answers)
