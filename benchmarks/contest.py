"""Pictures sent in one way or another, and what an RGB network makes of what arrives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.ledger import Json, Ledger
from benchmarks.rivals import Way, send
from training.compression import resized
from training.data import Pictures, ordered_loader
from training.systems import System, autocast

BATCH = 64
Item = tuple[Tensor, int, int]


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
    def read(cls, value: Json) -> Self:
        """From what `document` gave."""
        return cls(np.array(value["bytes"]), np.array(value["bare"]), np.array(value["right"], dtype=bool))

    def document(self) -> Json:
        """Plain values for JSON."""
        right = self.right.astype(int).tolist()
        return {"bytes": self.bytes.tolist(), "bare": self.bare.tolist(), "right": right}


class Fitted:
    """Pictures cut to a device's square at any side, decoded once a side and kept while it is in use."""

    def __init__(self, pictures: Pictures, workers: int) -> None:
        self.pictures, self.workers = pictures, workers
        self._side, self._kept = 0, torch.empty(0)

    @cached_property
    def targets(self) -> NDArray[np.int64]:
        """int64[n]."""
        return np.array(self.pictures.targets)

    def at(self, side: int) -> Tensor:
        """uint8[n, side, side, 3] in shared memory, for workers to read."""
        if side != self._side:
            self._kept = torch.empty((len(self.pictures), side, side, 3), dtype=torch.uint8).share_memory_()
            begin = 0
            for rgb, _ in ordered_loader(self.pictures, side, BATCH, self.workers):
                self._kept[begin : begin + len(rgb)] = rgb.permute(0, 2, 3, 1)
                begin += len(rgb)
            self._side = side
        return self._kept


class SentSet(Dataset[Item]):
    """Pictures uint8[n, side, side, 3] sent one way, as they reach a network of `size` pixels."""

    def __init__(self, fitted: Tensor, way: Way, size: int) -> None:
        self.fitted, self.way, self.size = fitted, way, size

    def __len__(self) -> int:
        return len(self.fitted)

    def __getitem__(self, index: int) -> Item:
        """(uint8[3, size, size], bytes, bare bytes)."""
        found = send(self.fitted[index].numpy(), self.way)
        rgb = torch.from_numpy(resized(found.rgb, self.size).copy()).permute(2, 0, 1)
        return rgb, found.bytes, found.bare


@dataclass(frozen=True)
class Contest:
    """One network on some pictures: what each way of sending them costs and gives, measured once.

    `name` says which network and pictures these are, in the ledger.
    """

    system: System
    size: int
    fitted: Fitted
    ledger: Ledger
    name: str

    def run(self, ways: Sequence[Way], what: str) -> Iterator[tuple[Way, Outcome]]:
        """Every way in turn, those of one side together."""
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(what, total=len(ways))
            for way in sorted(ways, key=lambda w: w.side):
                progress.update(task, description=f"{what}: {way.codec}, {way.side} px, {way.quality}")
                yield way, self.outcome(way)
                progress.advance(task)

    def outcome(self, way: Way) -> Outcome:
        """As the ledger has it, else measured."""
        key = {"contest": self.name, **way.settings}
        if key not in self.ledger:
            self.ledger.add(key, self._measure(way).document())
        return Outcome.read(self.ledger[key])

    @torch.inference_mode()
    def _measure(self, way: Way) -> Outcome:
        loader = DataLoader(
            SentSet(self.fitted.at(way.side), way, self.size), BATCH, num_workers=self.fitted.workers
        )
        device = next(self.system.module.parameters()).device
        answers, sizes, bare = [], [], []
        for rgb, whole, without in loader:
            x = rgb.to(device).float().contiguous(memory_format=torch.channels_last)
            with autocast(device):
                answers.append(self.system.logits(0, x).argmax(1).cpu())
            sizes.append(whole)
            bare.append(without)
        right = torch.cat(answers).numpy() == self.fitted.targets
        return Outcome(torch.cat(sizes).numpy(), torch.cat(bare).numpy(), right)


def mean_bytes(paths_at: Fitted, ways: Sequence[Way], count: int) -> dict[Way, float]:
    """Mean bytes of so many pictures, spread over all."""
    step = max(1, len(paths_at.pictures) // count)
    few = Fitted(paths_at.pictures.take(range(0, len(paths_at.pictures), step)), 0)
    return {
        way: float(np.mean([send(rgb.numpy(), way).bytes for rgb in few.at(way.side)]))
        for way in sorted(ways, key=lambda w: w.side)
    }


def fingerprint(path: Path) -> str:
    """Eight hexadecimal digits that tell one file of weights from another."""
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]
