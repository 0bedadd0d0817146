"""Settings that are clearly worse are dropped; all others stay to the end."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest

from overtone.benchmarks.curve.baselines import Setting
from overtone.benchmarks.curve.evaluation import Evaluation, Outcome
from overtone.benchmarks.curve.successive_elimination import NEAR, ROUNDS, eliminate, relevant, survivors

N = 300
A, B = (Setting("webp", side, 10) for side in (64, 80))
AVIF = Setting("avif", 64, 10)


def outcome(size: int, share: float) -> Outcome:
    """Correct on about that share, and on the same images as any other of the same share."""
    return Outcome(np.full(N, size), np.arange(N) % 100 < share * 100, np.ones(N))


def test_clearly_worse_settings_are_dropped() -> None:
    assert survivors({A: outcome(500, 0.80), B: outcome(600, 0.60)}, 0.0) == [A]
    # Below the floor.
    assert survivors({A: outcome(300, 0.60), B: outcome(500, 0.80)}, 0.75) == [B]
    # Too many bytes, however accurate.
    assert survivors({A: outcome(300, 0.60), B: outcome(5000, 0.95)}, 0.0) == [A]


def test_others_stay() -> None:
    close = outcome(600, 0.80)
    close.correct[:2] = False  # may be chance
    assert survivors({A: outcome(500, 0.80), B: close}, 0.0) == [A, B]
    # Less accurate, but fewer bytes.
    assert survivors({A: outcome(500, 0.80), B: outcome(400, 0.60)}, 0.0) == [A, B]
    # Of another codec.
    assert survivors({A: outcome(600, 0.60), AVIF: outcome(500, 0.80)}, 0.0) == [A, AVIF]


def test_a_codec_that_never_reaches_the_floor_keeps_its_best() -> None:
    assert relevant(0.9, [0.5, 0.7]) == pytest.approx(0.7 - NEAR)
    assert survivors({A: outcome(300, 0.40), B: outcome(500, 0.60)}, 0.9) == [B]


class Fake:
    """An evaluation in which a setting's quality is its share of correct answers in percent."""

    def __init__(self, n: int) -> None:
        self.images = range(n)
        self.asked: list[tuple[list[Setting], int, int]] = []

    def run(self, settings: Sequence[Setting], what: str, begin: int, end: int) -> dict[Setting, Outcome]:
        self.asked.append((list(settings), begin, end))
        percent, sizes = np.arange(begin, end) % 100, np.full(end - begin, 500)
        return {s: Outcome(sizes, percent < s.quality, np.ones(end - begin)) for s in settings}


def test_every_round_is_on_further_images_for_those_left() -> None:
    good, near, bad = Setting("webp", 64, 80), Setting("webp", 64, 80, 1), Setting("webp", 64, 20)
    fake = Fake(600)
    found = eliminate(cast(Evaluation, fake), [good, near, bad], floor=0.0)
    assert list(found) == [good, near]
    assert [len(outcome.correct) for outcome in found.values()] == [600, 600]
    assert fake.asked[0] == ([good, near, bad], 0, ROUNDS[0])
    assert [(begin, end) for _, begin, end in fake.asked[1:]] == [(60, 180), (180, 450), (450, 600)]
    assert all(settings == [good, near] for settings, _, _ in fake.asked[1:])
    few = Fake(20)
    eliminate(cast(Evaluation, few), [A], floor=0.0)
    assert [(begin, end) for _, begin, end in few.asked] == [(0, 20)]
