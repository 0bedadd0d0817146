"""Reading the card of a checkpoint of either task."""

import os
from typing import Any, TypeAlias

from overtone.models import read_card, task_of
from overtone.models.common_card import CommonCard

AnyCard: TypeAlias = CommonCard[Any]


def read_any_card(name_or_path: str | os.PathLike[str]) -> AnyCard:
    """The card of a classifier or detector, without reading the weights.

    Raises:
        CheckpointError: missing, damaged, or a card that is not valid.
    """
    if task_of(name_or_path) == "classify":
        return read_card(name_or_path)
    # Detectors need torchvision, which whoever has only classifiers need not import.
    from overtone.models.detection.checkpoint import read_detector_card

    return read_detector_card(name_or_path)
