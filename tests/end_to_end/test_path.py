"""Device process, link, server process: both transports, both policies, answers from low and from high."""

from pathlib import Path

import pytest

from overtone.frequency import Encoded
from overtone.link import Link
from tests.end_to_end.conftest import Connect, Server

TRANSPORTS = ("grpc", "rest")
POLICIES = ("on_demand", "ahead", "at_once")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_low_suffices(
    server: Server, connect: Connect, picture: Path, encoded: Encoded, transport: str, policy: str
) -> None:
    async with Link(getattr(server, transport), up="4mbit", down="4mbit", rtt="20ms") as link:
        async with connect(link, transport, "--policy", policy, "--operating-point", "always") as device:
            before = link.total.up
            answer = await device.classify(picture)
        assert "error" not in answer
        assert answer["stage"] == "low"
        if policy == "on_demand":
            assert answer["payload_bytes"] == len(encoded.low)
        else:  # high may have been under way already
            assert len(encoded.low) <= answer["payload_bytes"] <= len(encoded.low) + len(encoded.high)
        assert link.total.up - before >= len(encoded.low)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_high_is_needed(
    server: Server, connect: Connect, picture: Path, encoded: Encoded, transport: str, policy: str
) -> None:
    both = len(encoded.low) + len(encoded.high)
    async with Link(getattr(server, transport), up="4mbit", down="4mbit", rtt="20ms") as link:
        async with connect(link, transport, "--policy", policy, "--operating-point", "never") as device:
            before = link.total.up
            first = await device.classify(picture)
            second = await device.classify(picture)
        assert first["stage"] == second["stage"] == "high"
        assert first["payload_bytes"] == second["payload_bytes"] == both
        assert first["label"] == second["label"]
        assert link.total.up - before >= 2 * both


async def test_transports_and_policies_agree(server: Server, connect: Connect, picture: Path) -> None:
    answers = set()
    for transport in TRANSPORTS:
        async with Link(getattr(server, transport)) as link:
            for policy in POLICIES:
                async with connect(
                    link, transport, "--policy", policy, "--operating-point", "never"
                ) as device:
                    answer = await device.classify(picture)
                    answers.add((answer["label"], round(answer["confidence"], 5)))
    assert len(answers) == 1


async def test_a_picture_that_is_none_fails_alone(server: Server, connect: Connect, picture: Path) -> None:
    async with Link(server.grpc) as link, connect(link, "grpc") as device:
        assert "no such file" in (await device.classify(picture.with_name("missing.jpg")))["error"]
        assert "error" not in await device.classify(picture)
