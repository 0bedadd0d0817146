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
from overtone.training.data import Images
from overtone.training.progress import tracked
from overtone.training.systems import autocast
from overtone.training.weights import Trained

BATCH = 32


class Outcome(NamedTuple):
    """For every image: bytes sent int64[n], and whether the answer was correct bool[n]."""

    bytes: NDArray[np.int64]
    correct: NDArray[np.bool_]

    @property
    def top1(self) -> float:
        """A fraction."""
        return float(self.correct.mean())

    @classmethod
    def join(cls, parts: Iterable[Self]) -> Self:
        """Parts, in order, as one."""
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class Job(NamedTuple):
    """Some of the images, sent at one setting."""

    setting: Setting
    begin: int
    end: int


class Arrivals(Dataset[Any]):
    """For each job: images uint8[n, 3, size, size] as the network sees them, their bytes and targets."""

    def __init__(self, images: Images, size: int, jobs: Sequence[Job]) -> None:
        self.images, self.size, self.jobs = images, size, jobs

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: int) -> tuple[Tensor, NDArray[np.int64], NDArray[np.int64]]:
        setting, begin, end = self.jobs[index]
        sent = [send(fit(open_rgb(path), setting.side), setting) for path in self.images.paths[begin:end]]
        rgb = np.stack([resized(decoded, self.size) for _, decoded in sent]).transpose(0, 3, 1, 2)
        sizes = np.array([size for size, _ in sent])
        return torch.from_numpy(rgb.copy()), sizes, np.array(self.images.targets[begin:end])


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
    images: Images
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
            correct = outcome.correct.astype(int).tolist()
            self.cache.add(keys[setting], {"bytes": outcome.bytes.tolist(), "correct": correct})
        found = {setting: self.cache[key] for setting, key in keys.items()}
        return {
            s: Outcome(np.array(v["bytes"]), np.array(v["correct"], dtype=bool)) for s, v in found.items()
        }

    def _measured(
        self, settings: Sequence[Setting], begin: int, end: int
    ) -> Iterator[tuple[Setting, Outcome]]:
        jobs = [Job(s, at, min(at + BATCH, end)) for s in settings for at in range(begin, end, BATCH)]
        arrivals = Arrivals(self.images, self.trained.recipe.size, jobs)
        loader = DataLoader(arrivals, batch_size=None, num_workers=self.workers, collate_fn=_unchanged)
        answered = (self._answer(*arrived) for arrived in loader)
        for setting, own in groupby(jobs, key=lambda job: job.setting):
            yield setting, Outcome.join(islice(answered, len(list(own))))

    @torch.inference_mode()
    def _answer(self, rgb: Tensor, sizes: NDArray[np.int64], targets: NDArray[np.int64]) -> Outcome:
        system = self.trained.system
        device = next(system.module.parameters()).device
        x = rgb.to(device).float().contiguous(memory_format=torch.channels_last)
        with nullcontext() if self.exact else autocast(device):
            answers = system.logits(0, x).argmax(1).cpu().numpy()
        return Outcome(sizes, answers == targets)

    def _key(self, setting: Setting, begin: int, end: int) -> Json:
        name = f"{self.name} {identity(self.images)}"
        return {"evaluation": name, **setting.document, "from": begin, "to": end}


def identity(images: Images) -> str:
    """A name for these images in this order."""
    names = "\n".join(f"{path.parent.name}/{path.name}" for path in images.paths)
    return f"{len(images)}-{fingerprint(names.encode())}"


def _unchanged(arrived: Any) -> Any:
    return arrived
