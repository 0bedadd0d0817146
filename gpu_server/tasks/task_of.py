"""The task of a model, by its card."""

from typing import Any

from overtone.gpu_server.tasks.classification import Classification
from overtone.gpu_server.tasks.task import Task
from overtone.models import Card
from overtone.models.any_card import AnyCard


def task_of(card: AnyCard, model: str, most: int) -> Task[Any]:
    """The task of a model called `model`; an answer has `most` classes at most."""
    if isinstance(card, Card):
        return Classification(card, model, most)
    from overtone.gpu_server.tasks.detection import DetectionTask
    from overtone.models.detection.card import DetectorCard

    assert isinstance(card, DetectorCard)
    return DetectionTask(card, model)
