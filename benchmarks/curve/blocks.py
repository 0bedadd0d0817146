"""Work on pictures, shared out in blocks to processes.

A network on the CPU answers in those processes, with one thread each: two that encode and answer never wait
for one another, as the threads of one network do. A GPU's answers come from the main process.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar, cast

from torch.utils.data import DataLoader, Dataset

J_contra = TypeVar("J_contra", contravariant=True)
J = TypeVar("J")
P = TypeVar("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

BLOCK = 32


class Work(Protocol[J_contra, P, R_co]):
    """What is done for a job, in two steps; it and its jobs can be pickled."""

    @property
    def on_gpu(self) -> bool:
        """Whether the network can only answer in the main process."""

    def prepare(self, job: J_contra, /) -> P:
        """On the CPU, in any process."""

    def answer(self, prepared: P, /) -> R_co:
        """With the network."""


class _Jobs(Dataset[Any]):
    def __init__(self, work: Work[J, P, R], jobs: Sequence[J]) -> None:
        self.work, self.jobs = work, jobs

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: int) -> object:
        prepared = self.work.prepare(self.jobs[index])
        return prepared if self.work.on_gpu else self.work.answer(prepared)


def shared(work: Work[J, P, R], jobs: Sequence[J], workers: int) -> Iterator[R]:
    """What comes of every job, in order; without workers all is done here."""
    for done in DataLoader(_Jobs(work, jobs), batch_size=None, num_workers=workers, collate_fn=_as_it_is):
        yield work.answer(cast(P, done)) if work.on_gpu else cast(R, done)


def _as_it_is(done: object) -> object:
    return done


def spans(begin: int, end: int) -> list[tuple[int, int]]:
    """Blocks (from, to) of the pictures from `begin` to `end`."""
    return [(at, min(at + BLOCK, end)) for at in range(begin, end, BLOCK)]
