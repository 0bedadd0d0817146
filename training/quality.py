"""The quality settings of a recipe: the quantiser steps that training draws from, and the ladder of layers."""

from pydantic import Field, model_validator

from overtone.frequency import TWO_LAYERS, Layer
from overtone.frequency.channels import HIGH, LOW
from overtone.frequency.ladder import Band, check_ladder
from overtone.training.section import Section
from overtone.training.step_table import StepTable

# The factors of low and high after all layers.
FINEST = ((1, 1),)


class Quality(Section):
    """The table `quality` of a recipe.

    Training draws a step for each image, log-uniform from the finest to the coarsest. A network trained with `jitter`
    and `dead_zone` copes with the steps that `overtone train codec` chooses.

    Attributes:
        steps: the quantiser step of each quality that a device may choose, coarsest first.
        jitter: standard deviation of the logarithm of a channel's step around the image's.
        dead_zone: above 0.5, the fraction of a step from which values are rounded up is drawn from 0.5 to this.
        tolerance: the default quality is the one with the fewest bytes that loses at most this much top-1 accuracy on
            the calibration split.
        table: steps for each quality and channel, instead of the above.
        ladder: the layers of payloads, as in `frequency.ladder`; networks are trained on the values after each layer.
    """

    steps: tuple[int, ...] = (160, 112, 80, 64, 48, 32)
    jitter: float = Field(default=0.0, ge=0, le=1)
    dead_zone: float = Field(default=0.5, ge=0.5, lt=1)
    tolerance: float = Field(default=0.005, ge=0, lt=1)
    table: StepTable | None = None
    ladder: tuple[Layer, ...] = TWO_LAYERS

    def known_factors(self, band: Band | None) -> tuple[tuple[int, int], ...]:
        """The factors of the low and the high band after each layer that the network of a band answers.

        The high band counts as 1 until one of its layers has arrived. A network of no band (None) reads all layers.
        """
        if band is None:
            return FINEST
        factors, found = {"low": 1, "high": 1}, []
        for number, layer in enumerate(self.ladder, 1):
            factors[layer.band] = layer.factor
            answers = "high" if any(each.band == "high" for each in self.ladder[:number]) else "low"
            if answers == band:
                found.append((factors["low"], factors["high"]))
        return tuple(found)

    @property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """The steps of the low and high channels at every quality."""
        if self.table:
            return self.table.steps
        return tuple((step,) * len(LOW + HIGH) for step in self.steps)

    @model_validator(mode="after")
    def _ordered(self) -> "Quality":
        if sorted(self.steps, reverse=True) != list(self.steps) or min(self.steps) < 1:
            raise ValueError("steps must be positive and run from coarse to fine")
        check_ladder(self.ladder)
        return self
