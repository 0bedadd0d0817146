"""The networks, their cost, their checkpoints."""

from overtone.models.card import Accuracy, Card, CardError, Costs, Temperature, Training
from overtone.models.cascade import Architecture, Cascade, State
from overtone.models.checkpoint import CheckpointError, bundled, find, load, read_card, rewrite, save
from overtone.models.cost import Cost, cost
from overtone.models.device import choose_device
from overtone.models.mix import Mix
from overtone.models.operating_point import OperatingPoint

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
    "State",
    "Temperature",
    "Training",
    "bundled",
    "choose_device",
    "cost",
    "find",
    "load",
    "read_card",
    "rewrite",
    "save",
]
