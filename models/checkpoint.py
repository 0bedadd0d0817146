"""Checkpoints: safetensors files whose metadata hold a card and a digest of the weights. Nothing is unpickled.

This module has what checkpoints of all tasks share, and the classifiers'; `models.detection.checkpoint` has detectors'.
"""

import hashlib
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from overtone.models.architectures import build
from overtone.models.card import Card
from overtone.models.cascade import Cascade
from overtone.models.common_card import STALE, CommonCard
from overtone.validation import one_line

# The bundled checkpoints and samples in the repository; an installation has them in a distribution of their own.
SOURCE = Path(__file__).parent / "checkpoints"
DISTRIBUTION = "overtone-checkpoints"
CARD_KEY = "card"
DETECTOR_KEY = "detector card"
DIGEST_KEY = "weights"
# Prefix of the networks in the same folder that Overtone is compared with; they have no card.
BASELINE = "baseline-"

Task = Literal["classify", "detect"]
# The key of the card of each task.
KEYS: dict[Task, str] = {"classify": CARD_KEY, "detect": DETECTOR_KEY}
AnyCard = TypeVar("AnyCard", bound=CommonCard[Any])


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, or does not fit its card."""


def bundled_files() -> dict[str, Path]:
    """Every safetensors file that comes with Overtone, baseline networks included, by name."""
    return {path.stem: path for path in _bundled("*.safetensors")}


def sample_photographs() -> list[Path]:
    """The JPEG files that come with Overtone to be tried; none if `overtone-checkpoints` is not installed."""
    return _bundled("*.jpg")


def _bundled(pattern: str) -> list[Path]:
    """Files by name, of the repository or else of the distribution."""
    if found := sorted(SOURCE.rglob(pattern)):
        return found
    try:
        files = metadata.distribution(DISTRIBUTION).files or ()
    except metadata.PackageNotFoundError:
        return []
    return sorted(Path(str(file.locate())) for file in files if file.match(pattern))


def bundled() -> dict[str, Path]:
    """The checkpoints that come with Overtone, by name; none if `overtone-checkpoints` is not installed."""
    return {name: path for name, path in bundled_files().items() if not name.startswith(BASELINE)}


def find(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a bundled checkpoint by name, or the path itself.

    Raises:
        CheckpointError: neither a file nor a bundled name.
    """
    known = bundled()
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    hint = f"one of {sorted(known)}" if known else f"a bundled name (pip install {DISTRIBUTION})"
    raise CheckpointError(f"{name_or_path}: no such checkpoint; give a .safetensors file or {hint}")


def task_of(name_or_path: str | os.PathLike[str]) -> Task:
    """Whether a checkpoint is a classifier's or a detector's, by the card that it has.

    Raises:
        CheckpointError: missing, damaged, or without a card.
    """
    path = find(name_or_path)
    return _task(path, metadata_of(path))


def _task(path: Path, meta: Mapping[str, str]) -> Task:
    for task, key in KEYS.items():
        if key in meta:
            return task
    raise CheckpointError(f"{path}: has no card, so it is not a checkpoint")


def read_card(name_or_path: str | os.PathLike[str], *, stale: bool = False) -> Card:
    """The card of a classifier alone, without reading the weights.

    Args:
        name_or_path: name of a bundled checkpoint, or path of a file.
        stale: accept certificates of another profile, in order to replace them.

    Raises:
        CheckpointError: missing, damaged, of a detector, or a card that is not valid.
    """
    return read_card_of("classify", Card, name_or_path, stale)


def read_card_of(
    task: Task, kind: type[AnyCard], name_or_path: str | os.PathLike[str], stale: bool
) -> AnyCard:
    """The card, of the class `kind`, of a checkpoint for a task; see `read_card`."""
    path = find(name_or_path)
    meta = metadata_of(path)
    if (actual := _task(path, meta)) != task:
        raise CheckpointError(
            f"{path}: its task is {actual}, but this takes a checkpoint whose task is {task}"
        )
    try:
        return kind.model_validate_json(meta[KEYS[task]], context={STALE: stale})
    except ValidationError as error:
        raise CheckpointError(f"{path}: its card is not valid: {one_line(error)}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: its card is not valid: {error}") from error


def metadata_of(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, by key.

    Raises:
        CheckpointError: the file cannot be read.
    """
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error


def load(
    name_or_path: str | os.PathLike[str], device: str | torch.device = "cpu", *, stale: bool = False
) -> tuple[Cascade, Card]:
    """The network (eval mode, float32, mixing as its card says) and its card; `stale` as in `read_card`.

    Raises:
        CheckpointError: missing, damaged, or weights that do not fit the card's architecture or the file's digest.
    """
    card = read_card(name_or_path, stale=stale)
    path = find(name_or_path)
    model = build(card.architecture, card.mix)
    try:
        model.load_state_dict({key: value.float() for key, value in tensors_of(path).items()})
    except RuntimeError as error:
        raise CheckpointError(f"{path}: weights do not fit its card: {error}") from error
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval(), card


def save(path: str | os.PathLike[str], model: Cascade, card: Card, half: bool = True) -> None:
    """Write weights and card to one file, atomically.

    With `half`, weights of convolutions and linear layers are stored as float16. Statistics and scales stay
    float32: they are small, and their range depends on the data.
    """
    write(Path(path), weights_of(model, half), {CARD_KEY: card.to_json()})


def rewrite(source: str | os.PathLike[str], card: Card, out: str | os.PathLike[str]) -> None:
    """Write the weights of `source`, bit for bit, with another card and their digest to `out`, atomically.

    Raises:
        CheckpointError: `source` cannot be read.
    """
    write(Path(out), cloned_weights(source), {CARD_KEY: card.to_json()})


def cloned_weights(source: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The weights of a checkpoint, bit for bit, in memory of their own: the file may then be replaced."""
    return {key: value.clone() for key, value in tensors_of(find(source)).items()}


def weights_of(model: nn.Module, half: bool) -> dict[str, Tensor]:
    """The weights and running statistics of a network as `save` stores them, by name."""
    state = model.state_dict().items()
    return {k: stored(v, half) for k, v in state if not k.endswith("num_batches_tracked")}


def tensors_of(path: Path) -> dict[str, Tensor]:
    """The weights in a file, with the types that they are stored in.

    Raises:
        CheckpointError: the file cannot be read, or its weights do not match its digest (older files have none).
    """
    try:
        with safe_open(path, "pt") as file:
            expected = (file.metadata() or {}).get(DIGEST_KEY)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error
    if expected is not None and expected != digest(tensors):
        raise CheckpointError(f"{path}: its weights are damaged: they do not have the digest that it names")
    return tensors


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values, in the order of the names, as "sha256:" and hex digits."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        sha.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        sha.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return f"sha256:{sha.hexdigest()}"


def write(path: Path, tensors: dict[str, Tensor], card: dict[str, str]) -> None:
    """Write weights, their digest, and the card (its JSON under its key) to a file, atomically."""
    write_tensors(path, tensors, card | {DIGEST_KEY: digest(tensors)})


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically: its place holds either the old file or the whole new one."""
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary, metadata)
    # safetensors makes files readable by their owner alone, but a server usually runs as another user.
    temporary.chmod(0o644)
    temporary.replace(path)


def stored(value: Tensor, half: bool) -> Tensor:
    """A tensor as a file stores it: on the CPU, and with `half` float16 for convolutions and linear layers."""
    value = value.detach().cpu().contiguous()
    return value.half() if half and value.ndim in (2, 4) else value
