import pytest

from overtone.training.certificate import Wish, WishError
from overtone.training.simulate import Kept, simulate
from tests.training.populations import predictions

WISHES = (
    Wish("on average", 0.02),
    Wish("sure", 0.04, 0.1),
    Wish("share", share=0.4),
    Wish("bytes", mean_bytes=1000),
)


@pytest.fixture(scope="module")
def kept() -> dict[str, Kept]:
    return {k.wish.name: k for k in simulate(predictions(1200, 3), WISHES, n=400, splits=200)}


def test_promises_are_kept(kept: dict[str, Kept]) -> None:
    assert all(k.holds for k in kept.values())
    assert {k.n for k in kept.values()} == {400}


def test_promises_are_not_kept_by_being_timid(kept: dict[str, Kept]) -> None:
    for name in ("on average", "share", "bytes"):
        assert kept[name].found > 0.8 * kept[name].promised
    assert kept["sure"].found > 0
    assert 0 < kept["sure"].exit_share < kept["on average"].exit_share + 0.5


def test_the_rest_alone_is_noisier_than_the_whole(kept: dict[str, Kept]) -> None:
    sure = kept["sure"]
    assert sure.passed_on_rest is not None
    assert sure.passed_on_rest >= sure.found
    assert kept["share"].passed_on_rest is None


def test_a_broken_promise_is_seen() -> None:
    broken = Kept(
        Wish("x", 0.01), 100, 1000, promised=0.01, found=0.02, error=0.001, passed_on_rest=0.9, exit_share=1
    )
    assert not broken.holds


def test_both_sides_need_pictures() -> None:
    p = predictions(20)
    for n in (0, 20):
        with pytest.raises(WishError, match="1 to 19"):
            simulate(p, WISHES, n=n, splits=1)


def test_same_seed_same_numbers() -> None:
    p = predictions(100)
    assert simulate(p, WISHES[:2], splits=5) == simulate(p, WISHES[:2], splits=5)
