"""The networks that classify or detect from DCT coefficients, their cost, and their checkpoint files.

`overtone.training` makes the checkpoints, `overtone.gpu_server` serves them. Detectors are in `models.detection`.
"""

from overtone.models.architectures import AnyArchitecture, build
from overtone.models.bodies import Body
from overtone.models.body_cascade import BodyArchitecture, BodyCascade
from overtone.models.card import Accuracy, Card, Costs, Origin, Training
from overtone.models.cascade import Cascade, State
from overtone.models.checkpoint import (
    CheckpointError,
    Task,
    bundled,
    find,
    load,
    read_card,
    rewrite,
    sample_photographs,
    save,
    task_of,
)
from overtone.models.common_card import CardError
from overtone.models.cost import Cost, cost
from overtone.models.device import choose_device
from overtone.models.mix import Mix
from overtone.models.operating_point import OperatingPoint
from overtone.models.resnet_cascade import Architecture, ResNetCascade

__all__ = [
    "Accuracy",
    "AnyArchitecture",
    "Architecture",
    "Body",
    "BodyArchitecture",
    "BodyCascade",
    "Card",
    "CardError",
    "Cascade",
    "CheckpointError",
    "Cost",
    "Costs",
    "Mix",
    "OperatingPoint",
    "Origin",
    "ResNetCascade",
    "State",
    "Task",
    "Training",
    "build",
    "bundled",
    "choose_device",
    "cost",
    "find",
    "load",
    "read_card",
    "rewrite",
    "sample_photographs",
    "save",
    "task_of",
]
