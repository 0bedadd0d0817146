"""Images sent at some setting, and the answers of an RGB network to what arrives."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from overtone.benchmarks.curve.baselines import Setting, send
from overtone.benchmarks.curve.result_cache import ResultCache, fingerprint
from overtone.benchmarks.json_lines import Json
from overtone.frequency import fit, open_rgb
from overtone.training.compression import resized
from overtone.training.data import Pictures
from overtone.training.progress import tracked
from overtone.training.systems import autocast
from overtone.training.weights import Trained

BATCH = 32


@dataclass(frozen=True)
class Outcome:
    """For every image: bytes sent int64[n], the same `bare`, and whether the answer was correct bool[n]."""

    bytes: NDArray[np.int64]
    bare: NDArray[np.int64]
    correct: NDArray[np.bool_]

    @property
    def top1(self) -> float:
        """A fraction."""
        return float(self.correct.mean())

    @classmethod
    def join(cls, parts: Iterable[Self]) -> Self:
        """Parts, in order, as one."""
        columns = zip(*((p.bytes, p.bare, p.correct) for p in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    @classmethod
    def read(cls, value: Json) -> Self:
        """From what `document` gave."""
        correct = np.array(value["correct"], dtype=bool)
        return cls(np.array(value["bytes"]), np.array(value["bare"]), correct)

    def document(self) -> Json:
        """Plain values for JSON."""
        correct = self.correct.astype(int).tolist()
        return {"bytes": self.bytes.tolist(), "bare": self.bare.tolist(), "correct": correct}


class Job(NamedTuple):
    """Some of the images, sent at one setting."""

    setting: Setting
    begin: int
    end: int


class Arrived(NamedTuple):
    """Images uint8[n, 3, size, size] as the network sees them, their sizes and targets int64[n]."""

    rgb: Tensor
    bytes: NDArray[np.int64]
    bare: NDArray[np.int64]
    targets: NDArray[np.int64]


class Arrivals(Dataset[Arrived]):
    """What arrives of each job's images, brought to a network's `size`."""

    def __init__(self, images: Pictures, size: int, jobs: Sequence[Job]) -> None:
        self.images, self.size, self.jobs = images, size, jobs

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: int) -> Arrived:
        setting, begin, end = self.jobs[index]
        sent = [send(fit(open_rgb(path), setting.side), setting) for path in self.images.paths[begin:end]]
        rgb = np.stack([resized(each.rgb, self.size) for each in sent]).transpose(0, 3, 1, 2)
        sizes, bare = (np.array([getattr(each, name) for each in sent]) for name in ("bytes", "bare"))
        return Arrived(torch.from_numpy(rgb.copy()), sizes, bare, np.array(self.images.targets[begin:end]))


@dataclass(frozen=True)
class Evaluation:
    """A network's answers to images at any settings, each measured once.

    Attributes:
        trained: the network.
        images: sent to it.
        cache: of results.
        name: of the network and the part of the data, for the cache.
        workers: processes that encode and decode.
        exact: in float32, as Overtone's network is run; otherwise in bfloat16 where that is faster.
    """

    trained: Trained
    images: Pictures
    cache: ResultCache
    name: str
    workers: int
    exact: bool

    def run(
        self, settings: Sequence[Setting], what: str, begin: int = 0, end: int | None = None
    ) -> dict[Setting, Outcome]:
        """Every setting on the images from `begin` to `end`, from the cache or measured."""
        end = len(self.images) if end is None else end
        keys = {setting: self._key(setting, begin, end) for setting in settings}
        missing = [setting for setting in settings if keys[setting] not in self.cache]
        for setting, outcome in tracked(self._measured(missing, begin, end), what, len(missing)):
            self.cache.add(keys[setting], outcome.document())
        return {setting: Outcome.read(self.cache[key]) for setting, key in keys.items()}

    def _measured(
        self, settings: Sequence[Setting], begin: int, end: int
    ) -> Iterator[tuple[Setting, Outcome]]:
        jobs = [
            Job(setting, at, min(at + BATCH, end)) for setting in settings for at in range(begin, end, BATCH)
        ]
        arrivals = Arrivals(self.images, self.trained.recipe.size, jobs)
        loader = DataLoader(arrivals, batch_size=None, num_workers=self.workers, collate_fn=_unchanged)
        answered = map(self._answer, loader)
        for setting, own in groupby(jobs, key=lambda job: job.setting):
            yield setting, Outcome.join(islice(answered, len(list(own))))

    @torch.inference_mode()
    def _answer(self, arrived: Arrived) -> Outcome:
        system = self.trained.system
        device = next(system.module.parameters()).device
        x = arrived.rgb.to(device).float().contiguous(memory_format=torch.channels_last)
        with nullcontext() if self.exact else autocast(device):
            found = system.logits(0, x).argmax(1).cpu().numpy()
        return Outcome(arrived.bytes, arrived.bare, found == arrived.targets)

    def _key(self, setting: Setting, begin: int, end: int) -> Json:
        name = f"{self.name} {identity(self.images)}"
        return {"evaluation": name, **setting.document, "from": begin, "to": end}


def identity(images: Pictures) -> str:
    """A name for these images in this order."""
    names = "\n".join(f"{path.parent.name}/{path.name}" for path in images.paths)
    return f"{len(images)}-{fingerprint(names.encode())}"


def _unchanged(arrived: Any) -> Any:
    return arrived
