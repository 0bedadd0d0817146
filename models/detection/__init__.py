"""Detectors: boxes and masks from coefficients. They stand on torchvision, whose operators are made sure of first."""

from overtone.models.detection.operators import provide

provide()
