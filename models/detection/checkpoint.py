"""Checkpoints of detectors: files as in `models.checkpoint`, with a `DetectorCard` as their card."""

import os
from pathlib import Path

import torch

from overtone.models.checkpoint import (
    DETECTOR_KEY,
    CheckpointError,
    cloned_weights,
    find,
    read_card_of,
    tensors_of,
    weights_of,
    write,
)
from overtone.models.detection.card import DetectorCard
from overtone.models.detection.detector import Detector


def read_detector_card(name_or_path: str | os.PathLike[str], *, stale: bool = False) -> DetectorCard:
    """The card alone, without reading the weights; `stale` as in `models.read_card`.

    Raises:
        CheckpointError: missing, damaged, of a classifier, or a card that is not valid.
    """
    return read_card_of("detect", DetectorCard, name_or_path, stale)


def load_detector(
    name_or_path: str | os.PathLike[str], device: str | torch.device = "cpu", *, stale: bool = False
) -> tuple[Detector, DetectorCard]:
    """The detector (eval mode, float32) and its card; `stale` as in `models.read_card`.

    Raises:
        CheckpointError: missing, damaged, of a classifier, or weights that do not fit the card's architecture.
    """
    card, path = read_detector_card(name_or_path, stale=stale), find(name_or_path)
    model = Detector(card.architecture)
    counters = {k: v for k, v in model.state_dict().items() if k.endswith("num_batches_tracked")}
    try:
        model.load_state_dict(counters | {key: value.float() for key, value in tensors_of(path).items()})
    except RuntimeError as error:
        raise CheckpointError(f"{path}: weights do not fit its card: {error}") from error
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval(), card


def save_detector(
    path: str | os.PathLike[str], model: Detector, card: DetectorCard, half: bool = True
) -> None:
    """Write weights and card to one file, atomically; `half` as in `models.save`."""
    write(Path(path), weights_of(model, half), {DETECTOR_KEY: card.to_json()})


def rewrite_detector(source: str | os.PathLike[str], card: DetectorCard, out: str | os.PathLike[str]) -> None:
    """Write the weights of `source`, bit for bit, with another card to `out`, atomically.

    Raises:
        CheckpointError: `source` cannot be read.
    """
    write(Path(out), cloned_weights(source), {DETECTOR_KEY: card.to_json()})
