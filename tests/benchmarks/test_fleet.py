from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import pytest
import pytest_asyncio

from overtone.benchmarks.demo.command import Served, serving
from overtone.benchmarks.load.fleet import GONE, Order, harvest
from overtone.benchmarks.load.ready import Parcel, prepare
from overtone.benchmarks.load.talk import Kind, Reply, Wish
from overtone.benchmarks.load.upload import Rival
from overtone.benchmarks.sweep.timeline import PHASES, watch
from overtone.edge_client import OvertoneError, Policy, Unavailable

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]
RIVAL = Rival("webp", 32, 50)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tiny_checkpoint: Path) -> AsyncIterator[Served]:
    async with serving(str(tiny_checkpoint), "--threads", "1") as server:
        yield server


def parcels(served: Served, folder: Path, rival: Rival | None = None) -> list[Parcel]:
    paths = sorted((folder / "val").rglob("*.png"))
    return prepare(served.profile, list(served.labels), paths, rival=rival)


@pytest.mark.parametrize("kind", ["session", "one-shot", "rest", "upload"])
async def test_a_fleet_shares_the_pictures(served: Served, labelled_folder: Path, kind: Kind) -> None:
    rival = RIVAL if kind == "upload" else None
    wish = Wish(kind, "on_demand", "always", rival=rival)
    target = served.addresses["grpc" if wish.scheme == "grpc" else "rest"]
    done: list[None] = []
    found = await harvest(
        Order(wish, "wifi", devices=3, warmup=1),
        target,
        parcels(served, labelled_folder, rival),
        7,
        lambda: done.append(None),
    )
    assert (len(found.shots), found.errors, len(done)) == (7, [], 7)
    for shot in found.shots:
        assert shot.stage == "low"
        assert shot.right is not None
        assert shot.up > shot.payload > 0 < shot.down
        assert shot.latency_ms >= shot.compute_ms > 0
    assert found.setup_up > 0


@pytest.mark.parametrize("policy", ["on_demand", "at_once", "ahead", "auto"])
async def test_what_was_high_is_told(served: Served, labelled_folder: Path, policy: Policy) -> None:
    ours = parcels(served, labelled_folder)
    order = Order(Wish("session", policy, "never"), "unlimited")
    found = await harvest(order, served.addresses["grpc"], ours, 2)
    assert found.errors == []
    for shot in found.shots:
        assert shot.stage == "high"
        assert 0 < shot.high < shot.payload < shot.up


async def test_failures_are_counted_and_the_rest_goes_on(served: Served, labelled_folder: Path) -> None:
    broken = Parcel(b"no picture", 0, 0.0)
    good = parcels(served, labelled_folder, RIVAL)[0]
    order = Order(Wish("upload", rival=RIVAL), "unlimited")
    found = await harvest(order, served.addresses["rest"], [broken, good], 2)
    assert (len(found.shots), len(found.errors)) == (1, 1)


class Vanishing:
    """Answers a few pictures, and is gone."""

    left = 3

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def ask(self, parcel: Parcel) -> Reply:
        self.left -= 1
        if self.left < 0:
            raise Unavailable("nobody answers")
        return Reply(0, "low", 900, 0, 0.1, 10.0)


async def test_a_server_that_has_gone_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    voice, done = Vanishing(), list[None]()
    monkeypatch.setattr("overtone.benchmarks.load.fleet.talk", lambda *_: voice)
    monkeypatch.setattr("overtone.benchmarks.load.fleet.BREATHER", 0.0)
    parcel = Parcel(b"", 0, 0.0)
    with pytest.raises(Unavailable, match="nobody answers"):
        await harvest(Order(Wish(), "unlimited"), "127.0.0.1:1", [parcel], 1000, lambda: done.append(None))
    assert len(done) == 3 + GONE - 1


async def test_nobody_there(served: Served, labelled_folder: Path) -> None:
    order = Order(Wish("session", "on_demand"), "unlimited", devices=2)
    with pytest.raises(OvertoneError, match=r"127\.0\.0\.1:1:"):
        await harvest(order, "127.0.0.1:1", parcels(served, labelled_folder), 2)


async def test_an_escalated_image_is_watched(served: Served, labelled_folder: Path) -> None:
    ours = parcels(served, labelled_folder)
    found = await watch(ours, served.addresses, "wifi", operating_point="never")
    assert found is not None
    assert [name for name, _ in found["phases"]] == list(PHASES)
    spent = dict(map(tuple, found["phases"]))
    assert all(value >= 0 for value in spent.values())
    assert spent["compute low"] > 0 < spent["compute high"]
    assert sum(spent.values()) == pytest.approx(found["total_ms"], rel=0.25)
    assert await watch(ours, served.addresses, "wifi", operating_point="always") is None
