"""Images that are sent again, larger, where the network is not confident: both files count."""

import numpy as np
import pytest

from overtone.benchmarks.curve.baselines import Setting
from overtone.benchmarks.curve.evaluation import Outcome
from overtone.benchmarks.curve.overhead import Framing, Overhead
from overtone.benchmarks.curve.send_again import Pair, candidates, choose, entries

SMALL, LARGE, JPEG = Setting("webp", 64, 4), Setting("avif", 160, 35), Setting("jpeg", 64, 5)
FRAMING = Overhead(Framing(40, 60), Framing(50, 50), Framing(200, 400))
N = 1000


@pytest.fixture
def tried() -> dict[Setting, Outcome]:
    """A small image whose wrong answers are unsure ones, a large one that is nearly always right, and a JPEG."""
    unsure = np.arange(N) / N
    small = Outcome(np.full(N, 300), unsure >= 0.2, unsure)
    large = Outcome(np.full(N, 2000), np.arange(N) % 50 > 0, np.ones(N))
    return {SMALL: small, LARGE: large, JPEG: Outcome(np.full(N, 200), unsure >= 0.1, unsure)}


def test_both_files_count_and_the_last_answer(tried: dict[Setting, Outcome]) -> None:
    pair = Pair(SMALL, LARGE, 0.25)
    found = pair.outcome(tried)
    assert found.bytes.tolist() == [2300] * 250 + [300] * 750
    assert found.correct.tolist() == [i % 50 > 0 for i in range(250)] + [True] * 750
    bare = {SMALL: np.full(N, 270), LARGE: np.full(N, 1700)}
    (entry,) = entries([pair], tried, bare, FRAMING)
    assert (entry.correct == found.correct).all()
    assert (entry.counts["payload"] == found.bytes).all()
    assert entry.counts["bare"].tolist() == [1970] * 250 + [270] * 750
    one = float(FRAMING.image.wire(np.array(300)))
    assert entry.counts["wire"][-1] == pytest.approx(one)
    assert entry.counts["wire"][0] == pytest.approx(one + float(FRAMING.high.wire(np.array(2000))))
    posts = sum(float(FRAMING.post.wire(np.array(size))) for size in (300, 2000))
    assert entry.counts["post"][0] == pytest.approx(posts)
    assert entry.settings["again"] == 0.25
    assert entry.document()["first"]["codec"] == "webp"


def test_pairs_are_of_codecs_that_take_few_bytes(tried: dict[Setting, Outcome]) -> None:
    assert candidates(tried) == [SMALL, LARGE]
    worse = Setting("webp", 64, 60)
    assert candidates(tried | {worse: Outcome(np.full(N, 400), np.zeros(N, bool), np.ones(N))}) == [
        SMALL,
        LARGE,
    ]


def test_sending_again_beats_sending_once(tried: dict[Setting, Outcome]) -> None:
    pairs = choose(tried, 0.7, 1.0)
    assert pairs
    found = [pair.outcome(tried) for pair in pairs]
    best = max(found, key=lambda outcome: outcome.accuracy)
    assert best.accuracy > tried[LARGE].accuracy
    assert best.bytes.mean() < 0.5 * tried[LARGE].bytes.mean()
    sizes = [outcome.bytes.mean() for outcome in found]
    assert sizes == sorted(sizes)


def test_the_floor_and_the_ceiling_bound_what_is_reported(tried: dict[Setting, Outcome]) -> None:
    assert all(pair.outcome(tried).accuracy >= 0.9 for pair in choose(tried, 0.9, 1.0))
    below = [pair for pair in choose(tried, 0.0, 0.85) if pair.outcome(tried).accuracy >= 0.85]
    assert len(below) == 1
    assert choose(tried, 1.1, 1.2) == []
