"""Images sent at a baseline's setting, and an RGB network's answers to what arrives, each measured once."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from overtone.benchmarks.curve.baselines import Setting, encoded, send
from overtone.benchmarks.curve.container import picture_bytes
from overtone.benchmarks.curve.result_cache import ResultCache, fingerprint
from overtone.benchmarks.json_lines import Json
from overtone.frequency import fit, open_rgb
from overtone.training.compression import resized
from overtone.training.data import Images
from overtone.training.progress import tracked
from overtone.training.systems import autocast
from overtone.training.weights import Trained

BATCH = 32
# Decimals of confidences in the cache; those close to 1 have to be told apart.
DIGITS = 8
# A mean difference over images counts as significant from this many standard errors.
SIGNIFICANT = 1.5


class Outcome(NamedTuple):
    """For every image: bytes sent int64[n], whether the answer was correct bool[n], and its confidence float64[n].

    The confidence is the largest probability, as the network gives it.
    """

    bytes: NDArray[np.int64]
    correct: NDArray[np.bool_]
    confidence: NDArray[np.float64]

    @property
    def accuracy(self) -> float:
        """Top-1, a fraction."""
        return float(self.correct.mean())

    def surely_beats(self, other: "Outcome") -> bool:
        """Whether this outcome is significantly more accurate than another one on the same images."""
        return surely_positive(self.correct.astype(float) - other.correct)

    def surely_below(self, accuracy: float) -> bool:
        """Whether its accuracy is significantly less than `accuracy`."""
        return surely_positive(accuracy - self.correct)

    @classmethod
    def join(cls, parts: Iterable[Self]) -> Self:
        """Join the outcomes of successive images."""
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class Job(NamedTuple):
    """The images from `begin` to `end`, sent at one setting."""

    setting: Setting
    begin: int
    end: int


class Received(NamedTuple):
    """Images uint8[n, 3, size, size] as the network sees them, their bytes and targets int64[n]."""

    rgb: Tensor
    bytes: NDArray[np.int64]
    targets: NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """A network's answers to images at any settings, each measured once.

    Attributes:
        trained: the network.
        images: sent to it.
        cache: the results measured so far.
        name: names the network and the part of the data in the cache's keys.
        workers: processes that encode and decode.
        exact: compute in float32, as Overtone's network does; otherwise in bfloat16 where that is faster.
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
        """The outcome of every setting on the images from `begin` to `end`, from the cache or measured."""
        end = len(self.images) if end is None else end
        keys = {setting: self._key(setting, begin, end) for setting in settings}
        missing = [setting for setting in settings if keys[setting] not in self.cache]
        for setting, outcome in tracked(self._measured(missing, begin, end), what, len(missing)):
            correct = outcome.correct.astype(int).tolist()
            scores = outcome.confidence.round(DIGITS).tolist()
            value = {"bytes": outcome.bytes.tolist(), "correct": correct, "confidence": scores}
            self.cache.add(keys[setting], value)
        found = {setting: self.cache[key] for setting, key in keys.items()}
        return {
            s: Outcome(np.array(v["bytes"]), np.array(v["correct"], bool), np.array(v["confidence"], float))
            for s, v in found.items()
        }

    def bare(self, settings: Sequence[Setting]) -> dict[Setting, NDArray[np.int64]]:
        """The bytes of every setting's files without their containers, int64[n], from the cache or counted."""
        keys = {s: {"container": False} | self._key(s, 0, len(self.images)) for s in settings}
        missing = [setting for setting in settings if keys[setting] not in self.cache]
        # Pillow's encoders run without the interpreter's lock.
        with ThreadPoolExecutor(max(1, self.workers)) as threads:
            counted = threads.map(partial(_bare_sizes, self.images), missing)
            for setting, sizes in zip(missing, tracked(counted, "containers", len(missing)), strict=True):
                self.cache.add(keys[setting], {"bytes": sizes})
        return {setting: np.array(self.cache[key]["bytes"]) for setting, key in keys.items()}

    def _measured(
        self, settings: Sequence[Setting], begin: int, end: int
    ) -> Iterator[tuple[Setting, Outcome]]:
        jobs = [Job(s, at, min(at + BATCH, end)) for s in settings for at in range(begin, end, BATCH)]
        loader = DataLoader(
            _Jobs(self, jobs), batch_size=None, num_workers=self.workers, collate_fn=_unchanged
        )
        answered = (self.answer(*found) if self.on_gpu else found for found in loader)
        for setting, own in groupby(jobs, key=lambda job: job.setting):
            yield setting, Outcome.join(islice(answered, len(list(own))))

    @property
    def device(self) -> torch.device:
        """The device that the network is on."""
        return next(self.trained.system.module.parameters()).device

    @property
    def on_gpu(self) -> bool:
        """Whether only the main process can run the network."""
        return self.device.type != "cpu"

    def received(self, job: Job) -> Received:
        """Encode and decode a job's images, and resize them to the network's size."""
        sent = [
            send(fit(open_rgb(path), job.setting.side), job.setting)
            for path in self.images.paths[job.begin : job.end]
        ]
        rgb = np.stack([resized(decoded, self.trained.recipe.size) for _, decoded in sent])
        sizes, targets = np.array([size for size, _ in sent]), self.images.targets[job.begin : job.end]
        return Received(torch.from_numpy(rgb.transpose(0, 3, 1, 2).copy()), sizes, np.array(targets))

    @torch.inference_mode()
    def answer(self, rgb: Tensor, sizes: NDArray[np.int64], targets: NDArray[np.int64]) -> Outcome:
        """Run the network on received images and compare its answers with the targets."""
        x = rgb.to(self.device).float().contiguous(memory_format=torch.channels_last)
        with nullcontext() if self.exact else autocast(self.device, self.trained.system):
            logits = self.trained.system.logits(0, x)
        scores, answers = logits.double().softmax(1).max(1)
        return Outcome(sizes, answers.cpu().numpy() == targets, scores.cpu().numpy())

    def _key(self, setting: Setting, begin: int, end: int) -> Json:
        name = f"{self.name} {identity(self.images)}"
        # Results without a confidence, of earlier versions, had no such word in their keys.
        return {"evaluation": name, "with": "confidence", **setting.document, "from": begin, "to": end}


def _bare_sizes(images: Images, setting: Setting) -> list[int]:
    return [picture_bytes(encoded(fit(open_rgb(path), setting.side), setting)) for path in images.paths]


def surely_positive(difference: NDArray[np.floating]) -> bool:
    """Whether the mean over images is significantly above zero."""
    error = difference.std() / np.sqrt(len(difference))
    return bool(difference.mean() > SIGNIFICANT * error)


def identity(images: Images) -> str:
    """A name for these images in this order."""
    names = "\n".join(f"{path.parent.name}/{path.name}" for path in images.paths)
    return f"{len(images)}-{fingerprint(names.encode())}"


class _Jobs(Dataset[Any]):
    """Jobs for the workers of a `DataLoader`; on the CPU each also runs the network, in one thread of its own."""

    def __init__(self, evaluation: Evaluation, jobs: Sequence[Job]) -> None:
        self._evaluation, self._jobs = evaluation, jobs

    def __len__(self) -> int:
        return len(self._jobs)

    def __getitem__(self, index: int) -> Received | Outcome:
        received = self._evaluation.received(self._jobs[index])
        return received if self._evaluation.on_gpu else self._evaluation.answer(*received)


def _unchanged(item: Any) -> Any:
    return item
