"""Pictures sent in one way or another, and what an RGB network makes of what arrives."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby, islice
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from overtone.benchmarks.curve.blocks import shared, spans
from overtone.benchmarks.curve.ledger import Json, Ledger
from overtone.benchmarks.curve.rivals import Way, send
from overtone.frequency import fit, open_rgb
from overtone.training.compression import resized
from overtone.training.data import Images
from overtone.training.progress import tracked
from overtone.training.systems import SingleSystem, autocast


@dataclass(frozen=True)
class Outcome:
    """Of every picture: bytes sent int64[n], the same `bare`, and whether the answer was right bool[n]."""

    bytes: NDArray[np.int64]
    bare: NDArray[np.int64]
    right: NDArray[np.bool_]

    @property
    def top1(self) -> float:
        """A fraction."""
        return float(self.right.mean())

    @classmethod
    def join(cls, parts: Iterable[Self]) -> Self:
        """Parts, in order, as one."""
        columns = zip(*((p.bytes, p.bare, p.right) for p in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    @classmethod
    def read(cls, value: Json) -> Self:
        """From what `document` gave."""
        return cls(np.array(value["bytes"]), np.array(value["bare"]), np.array(value["right"], dtype=bool))

    def document(self) -> Json:
        """Plain values for JSON."""
        right = self.right.astype(int).tolist()
        return {"bytes": self.bytes.tolist(), "bare": self.bare.tolist(), "right": right}


class Job(NamedTuple):
    """Some of the pictures, sent one way."""

    way: Way
    begin: int
    end: int


class Arrived(NamedTuple):
    """Pictures uint8[n, 3, size, size] as a network sees them, what they cost and what they are int64[n]."""

    rgb: Tensor
    bytes: NDArray[np.int64]
    bare: NDArray[np.int64]
    targets: NDArray[np.int64]


@dataclass(frozen=True)
class Sending:
    """Pictures cut to a device's square, sent, and answered by a network of `size` pixels.

    `exact`: in float32, as ours answers; else in bfloat16 where that is quicker.
    """

    system: SingleSystem
    size: int
    pictures: Images
    exact: bool

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.system.module.parameters()).device

    @property
    def on_gpu(self) -> bool:
        """Whether it is no CPU."""
        return self.device.type != "cpu"

    def prepare(self, job: Job) -> Arrived:
        """What arrives of a job's pictures."""
        paths = self.pictures.paths[job.begin : job.end]
        sent = [send(fit(open_rgb(path), job.way.side), job.way) for path in paths]
        rgb = np.stack([resized(each.rgb, self.size) for each in sent]).transpose(0, 3, 1, 2)
        sizes, bare = (np.array([getattr(each, name) for each in sent]) for name in ("bytes", "bare"))
        targets = np.array(self.pictures.targets[job.begin : job.end])
        return Arrived(torch.from_numpy(rgb.copy()), sizes, bare, targets)

    @torch.inference_mode()
    def answer(self, arrived: Arrived) -> Outcome:
        """What the network says of it."""
        x = arrived.rgb.to(self.device).float().contiguous(memory_format=torch.channels_last)
        with nullcontext() if self.exact else autocast(self.device):
            found = self.system.logits(0, x).argmax(1).cpu().numpy()
        return Outcome(arrived.bytes, arrived.bare, found == arrived.targets)


@dataclass(frozen=True)
class Contest:
    """What each way of sending some pictures costs and gives, measured once.

    `name` says which network and pictures these are, in the ledger.
    """

    sending: Sending
    ledger: Ledger
    name: str
    workers: int

    def run(
        self, ways: Sequence[Way], what: str, begin: int = 0, end: int | None = None
    ) -> dict[Way, Outcome]:
        """Every way on the pictures from `begin` to `end`: as the ledger has it, else measured."""
        end = len(self.sending.pictures) if end is None else end
        missing = [way for way in ways if self._key(way, begin, end) not in self.ledger]
        for way, outcome in tracked(self._measured(missing, begin, end), what, len(missing)):
            self.ledger.add(self._key(way, begin, end), outcome.document())
        return {way: Outcome.read(self.ledger[self._key(way, begin, end)]) for way in ways}

    def _measured(self, ways: Sequence[Way], begin: int, end: int) -> Iterator[tuple[Way, Outcome]]:
        jobs = [Job(way, *span) for way in ways for span in spans(begin, end)]
        done = shared(self.sending, jobs, self.workers)
        for way, own in groupby(jobs, key=lambda job: job.way):
            yield way, Outcome.join(islice(done, len(list(own))))

    def _key(self, way: Way, begin: int, end: int) -> Json:
        return {"contest": self.name, **way.settings, "from": begin, "to": end}
