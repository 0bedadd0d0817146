"""Device process, link, server process: both transports, all policies, answers from low and from high."""

import asyncio
from itertools import product
from pathlib import Path
from typing import Any

from overtone.frequency import Encoded
from overtone.link import Link
from tests.end_to_end.conftest import Connect, Server

WAYS = list(product(("grpc", "rest"), ("on_demand", "ahead", "at_once")))


async def _answers(server: Server, connect: Connect, image: Path, point: str) -> list[dict[str, Any]]:
    """The answer of each way to send an image, and `up`, the bytes that crossed its link."""

    async def classify(transport: str, policy: str) -> dict[str, Any]:
        async with Link(getattr(server, transport), up="4mbit", down="4mbit", rtt="20ms") as link:
            async with connect(link, transport, "--policy", policy, "--operating-point", point) as device:
                before = link.total.up
                answer = await device.classify(image)
            return {**answer, "up": link.total.up - before}

    return await asyncio.gather(*(classify(*way) for way in WAYS))


async def test_low_suffices(server: Server, connect: Connect, image: Path, encoded: Encoded) -> None:
    answers = await _answers(server, connect, image, "always")
    low, both = len(encoded.low), len(encoded.low) + len(encoded.high)
    for (_, policy), answer in zip(WAYS, answers, strict=True):
        assert answer["stage"] == "low", answer
        # High may be under way already where it is sent unasked.
        assert low <= answer["payload_bytes"] <= (low if policy == "on_demand" else both)
        assert answer["up"] >= low
    _agree(answers)


async def test_high_is_needed(server: Server, connect: Connect, image: Path, encoded: Encoded) -> None:
    answers = await _answers(server, connect, image, "never")
    both = len(encoded.low) + len(encoded.high)
    for answer in answers:
        assert answer["stage"] == "high", answer
        assert answer["payload_bytes"] == both
        assert answer["up"] >= both
    _agree(answers)


def _agree(answers: list[dict[str, Any]]) -> None:
    assert len({(answer["label"], round(answer["confidence"], 5)) for answer in answers}) == 1


async def test_a_file_that_is_no_image_fails_alone(server: Server, connect: Connect, image: Path) -> None:
    async with Link(server.grpc) as link, connect(link, "grpc") as device:
        assert "no such file" in (await device.classify(image.with_name("missing.jpg")))["error"]
        assert "error" not in await device.classify(image)
