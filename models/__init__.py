"""The networks, their cost, their checkpoints."""

from models.card import Accuracy, Card, CardError, Costs, Temperature, Training
from models.cascade import Architecture, Cascade, State
from models.checkpoint import CheckpointError, bundled, find, load, read_card, rewrite, save
from models.cost import Cost, cost
from models.deferral import Rule
from models.device import choose_device
from models.mix import Mix
from models.operating_point import OperatingPoint
from models.resnet import frequency_resnet50, rgb_resnet50

__all__ = [
    "Accuracy",
    "Architecture",
    "Card",
    "CardError",
    "Cascade",
    "CheckpointError",
    "Cost",
    "Costs",
    "Mix",
    "OperatingPoint",
    "Rule",
    "State",
    "Temperature",
    "Training",
    "bundled",
    "choose_device",
    "cost",
    "find",
    "frequency_resnet50",
    "load",
    "read_card",
    "rewrite",
    "rgb_resnet50",
    "save",
]
