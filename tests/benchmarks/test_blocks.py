"""Jobs come back in order, whoever did them."""

import os
from dataclasses import dataclass

import pytest

from overtone.benchmarks.curve.blocks import BLOCK, shared, spans


@dataclass(frozen=True)
class Doubling:
    """Says of each number its double, and which processes prepared and answered."""

    on_gpu: bool

    def prepare(self, job: int) -> tuple[int, int]:
        return job, os.getpid()

    def answer(self, prepared: tuple[int, int]) -> tuple[int, int, int]:
        return 2 * prepared[0], prepared[1], os.getpid()


def test_spans_cover_all_once() -> None:
    found = spans(5, 3 * BLOCK)
    assert [i for span in found for i in range(*span)] == list(range(5, 3 * BLOCK))
    assert all(end - begin <= BLOCK for begin, end in found)
    assert spans(4, 4) == []


@pytest.mark.parametrize("on_gpu", [False, True])
def test_workers_answer_unless_a_gpu_does(on_gpu: bool) -> None:
    doubles, prepared, answered = zip(*shared(Doubling(on_gpu), range(7), 2), strict=True)
    assert doubles == tuple(range(0, 14, 2))
    assert os.getpid() not in prepared
    assert len(set(prepared)) == 2
    assert answered == ((os.getpid(),) * 7 if on_gpu else prepared)


def test_without_workers_all_is_done_here() -> None:
    assert list(shared(Doubling(False), [3], 0)) == [(6, os.getpid(), os.getpid())]
