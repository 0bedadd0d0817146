import random

import numpy as np
import pytest

from overtone.benchmarks.codec import fuzz
from overtone.benchmarks.codec.fuzz import DisagreementError, Seed
from overtone.frequency import THREE_LAYERS, BlockMask, PayloadError, Profile, coder, stream

CASES = range(40)


@pytest.fixture(scope="module")
def pool() -> list[Seed]:
    rng = np.random.default_rng(2)
    profile = Profile.uniform(["any"], size=32, steps=(64,), ladder=THREE_LAYERS)
    found = []
    for scale in (0.4, 3, 900):
        planes = rng.laplace(scale=scale, size=(24, 4, 4)).round().astype(np.int16)
        found += fuzz.layer_seeds(planes, profile, 1)
        found += fuzz.layer_seeds(planes, profile, 1, BlockMask(planes[0] > 0))
    return found


def test_correct_implementations_pass(pool: list[Seed], monkeypatch: pytest.MonkeyPatch) -> None:
    assert not all(fuzz.check(number, pool, True) for number in CASES)
    monkeypatch.setattr(fuzz, "damaged", lambda good, *_: good)
    assert all(fuzz.check(number, pool, True) for number in CASES)


def test_a_case_depends_on_its_number_and_is_damaged(pool: list[Seed]) -> None:
    good, other = pool[0].body, pool[2].body
    made = [fuzz.damaged(good, other, random.Random(number)) for number in CASES]
    assert made == [fuzz.damaged(good, other, random.Random(number)) for number in CASES]
    assert sum(bad != good for bad in made) > len(CASES) // 2
    assert len({len(bad) for bad in made}) > 3


@pytest.mark.skipif(not coder.accelerated, reason="the C extension was not built")
def test_implementations_that_differ_are_found(pool: list[Seed], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PayloadError("no")

    monkeypatch.setattr(stream, "decode_layer", refuse)
    with pytest.raises(DisagreementError, match="case 0: C and the twin differ"):
        fuzz.check(0, pool, True)
    fuzz.check(0, pool, False)


def test_a_body_that_the_encoder_does_not_write_is_found(
    pool: list[Seed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "damaged", lambda good, *_: good)
    monkeypatch.setattr(coder, "encode_layer", lambda *_: b"something else")
    with pytest.raises(DisagreementError, match="not what the encoder writes"):
        fuzz.check(3, pool, False)


def test_only_a_rejection_is_caught(pool: list[Seed], monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise IndexError

    monkeypatch.setattr(stream, "decode_layer", crash)
    with pytest.raises(IndexError):
        fuzz.outcome("twin", b"", pool[0])


def test_the_seeds_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "EFFORT", 0.0)
    found = fuzz.seeds()
    assert {len(seed.known) for seed in found} == {0, 6}
    assert {(seed.plan.first, seed.plan.refines) for seed in found} == {(0, False), (0, True), (6, False)}
    for seed in found[::7]:
        coded, check = coder.decode_layer(seed.body, seed.known, seed.plan, seed.region)
        assert coder.encode_layer(seed.known, coded, seed.plan, check, seed.region) == seed.body
