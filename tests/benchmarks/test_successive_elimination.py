"""Ways that are surely beaten leave the race; all others run to its end."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from overtone.benchmarks.curve import race as room
from overtone.benchmarks.curve.contest import Contest, Outcome
from overtone.benchmarks.curve.race import race, relevant, survivors
from overtone.benchmarks.curve.rivals import Way

N = 300
A, B, C, OTHER = Way("webp", 64, 10), Way("webp", 80, 10), Way("webp", 96, 10), Way("avif", 64, 10)


def outcome(size: int, right: float, bare: int | None = None, n: int = N) -> Outcome:
    """Right on about that share, and on the same pictures as any other of the same share."""
    without = np.full(n, size if bare is None else bare)
    return Outcome(np.full(n, size), without, np.arange(n) % 100 < right * 100)


def test_what_costs_more_and_is_surely_worse_leaves() -> None:
    assert survivors({A: outcome(500, 0.80), B: outcome(600, 0.60)}, 0.0) == [A]


def test_what_may_be_chance_stays() -> None:
    close = outcome(600, 0.80)
    close.right[:2] = False
    assert survivors({A: outcome(500, 0.80), B: close}, 0.0) == [A, B]


def test_what_is_worse_but_cheaper_stays() -> None:
    found = {A: outcome(500, 0.80), B: outcome(400, 0.60), C: outcome(600, 0.60, bare=300)}
    assert survivors(found, 0.0) == [A, B, C]


def test_another_codec_beats_nobody() -> None:
    assert survivors({A: outcome(600, 0.60), OTHER: outcome(500, 0.80)}, 0.0) == [A, OTHER]


def test_what_is_surely_below_the_floor_leaves() -> None:
    assert survivors({A: outcome(300, 0.60), B: outcome(500, 0.80)}, 0.75) == [B]


def test_a_codec_that_never_reaches_the_floor_keeps_its_best() -> None:
    assert relevant(0.9, [0.5, 0.7]) == pytest.approx(0.7 - room.NEAR)
    assert survivors({A: outcome(300, 0.40), B: outcome(500, 0.60)}, 0.9) == [B]


def test_what_is_too_dear_leaves_however_good() -> None:
    assert survivors({A: outcome(300, 0.60), B: outcome(5000, 0.95)}, 0.0) == [A]


class Fake:
    """A contest in which a way's quality is its share of right answers in percent."""

    def __init__(self, n: int) -> None:
        self.sending = SimpleNamespace(pictures=range(n))
        self.asked: list[tuple[list[Way], int, int]] = []

    def run(self, ways: Sequence[Way], what: str, begin: int, end: int) -> dict[Way, Outcome]:
        self.asked.append((list(ways), begin, end))
        right = np.arange(begin, end) % 100
        sizes = np.full(end - begin, 500)
        return {way: Outcome(sizes, sizes, right < way.quality) for way in ways}


def test_every_round_is_of_further_pictures_and_only_for_those_left() -> None:
    good, near, bad = Way("webp", 64, 80), Way("webp", 64, 80, 1), Way("webp", 64, 20)
    fake = Fake(600)
    found = race(cast(Contest, fake), [good, near, bad], floor=0.0)
    assert list(found) == [good, near]
    assert [len(outcome.right) for outcome in found.values()] == [600, 600]
    assert fake.asked[0] == ([good, near, bad], 0, room.ROUNDS[0])
    assert [(begin, end) for _, begin, end in fake.asked[1:]] == [(60, 180), (180, 450), (450, 600)]
    assert all(ways == [good, near] for ways, _, _ in fake.asked[1:])


def test_few_pictures_are_one_round() -> None:
    fake = Fake(20)
    race(cast(Contest, fake), [A], floor=0.0)
    assert [(begin, end) for _, begin, end in fake.asked] == [(0, 20)]
