"""Quantiser steps that differ between channels, and random ones between them for training."""

import torch
from pydantic import Field, model_validator

from overtone.frequency.channels import HIGH, LOW
from overtone.training.section import Section
from overtone.training.transform import Quantiser

# How far beyond the coarsest and the finest row steps are drawn, in rows.
BEYOND_COARSE, BEYOND_FINE = 0.3, 0.2
DEAD_ZONES = (0.5, 0.95)


class StepTable(Section):
    """A row of steps for every quality, coarsest first, with rounding thresholds in hundredths of a step.

    Training draws a position between the rows for each image; with `coarse` above 1 it draws coarse ones more often.
    """

    steps: tuple[tuple[int, ...], ...] = Field(min_length=2)
    thresholds: tuple[int, ...]
    coarse: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _complete(self) -> "StepTable":
        if any(len(row) != len(LOW + HIGH) or min(row) < 1 for row in self.steps):
            raise ValueError(f"every row of steps has {len(LOW + HIGH)} positive numbers, low channels first")
        if len(self.thresholds) != len(self.steps):
            raise ValueError("give a threshold for every row of steps")
        return self

    def draw(self, count: int, generator: torch.Generator) -> Quantiser:
        """Steps and thresholds for this many images."""
        span = BEYOND_COARSE + len(self.steps) - 1 + BEYOND_FINE
        return self.at(span * torch.rand(count, generator=generator) ** self.coarse - BEYOND_COARSE)

    def at(self, position: torch.Tensor) -> Quantiser:
        """Steps and thresholds at positions float32[N] in the table: 0 is its first row, 0.5 is between two rows."""
        row = position.floor().clamp(0, len(self.steps) - 2).long()
        between = position - row
        logs, thresholds = torch.tensor(self.steps).float().log(), torch.tensor(self.thresholds).float() / 100
        steps = torch.lerp(logs[row], logs[row + 1], between[:, None]).exp()
        rounded = torch.lerp(thresholds[row], thresholds[row + 1], between).clamp(*DEAD_ZONES)
        return Quantiser(steps[:, :, None, None], rounded[:, None, None, None])
