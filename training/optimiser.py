"""The optimiser of a recipe: SGD or AdamW, and the learning rate of every epoch."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from overtone.training.section import Section

ADAM_BETAS = (0.9, 0.98)


class Optimiser(Section):
    """SGD with Nesterov momentum, or AdamW; linear warm-up, and a cosine to zero.

    During the share `thaw` of a step's epochs only classifiers and normalisations are trained, at the rate
    `frozen_lr` (default: `lr`); then all weights are, with warm-up and cosine of their own.
    """

    kind: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(default=0.5, gt=0)
    momentum: float = 0.9
    # AdamW spares parameters of one dimension (biases, scales) from it.
    weight_decay: float = 1e-4
    batch: int = Field(default=128, gt=0)
    # Number of parts that a batch is computed in, if it does not fit into memory as a whole.
    accumulate: int = Field(default=1, gt=0)
    warmup: float = Field(default=5, ge=0, description="epochs")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    # Share of the low network's target that is the high network's answer (Hinton et al. 2015); structure 3.
    distil: float = Field(default=0.0, ge=0, lt=1)
    # The largest norm of the gradient, longer ones are shortened; 0 leaves all as they are.
    clip: float = Field(default=0.0, ge=0)
    thaw: float = Field(default=0.0, ge=0, lt=1)
    frozen_lr: float | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _ignore_ema(cls, value: Any) -> Any:
        # The bundled baseline's recipe says that it has no moving average of the weights.
        if isinstance(value, dict) and value.get("ema") == 0:
            return {key: entry for key, entry in value.items() if key != "ema"}
        return value

    @model_validator(mode="after")
    def _divisible(self) -> "Optimiser":
        if self.accumulate > self.batch:
            raise ValueError(f"a batch of {self.batch} cannot be computed in {self.accumulate} parts")
        return self

    def rate(self, epoch: float, epochs: int) -> float:
        """The learning rate after this many of the epochs."""
        frozen = self.frozen_epochs(epochs)
        if epoch < frozen:
            return self.frozen_lr or self.lr
        epoch, epochs = epoch - frozen, epochs - frozen
        if epoch < self.warmup:
            return self.lr * (epoch + 0.01) / self.warmup
        done = (epoch - self.warmup) / max(epochs - self.warmup, 1e-9)
        return self.lr * 0.5 * (1 + math.cos(math.pi * done))

    def frozen_epochs(self, epochs: int) -> int:
        """How many of a step's epochs train classifiers and normalisations alone."""
        return round(self.thaw * epochs)

    def build(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """torch's optimiser of these parameters."""
        if self.kind == "sgd":
            return torch.optim.SGD(
                parameters, self.lr, self.momentum, weight_decay=self.weight_decay, nesterov=self.momentum > 0
            )
        matrices = [p for p in parameters if p.ndim > 1]
        vectors = [p for p in parameters if p.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, self.lr, ADAM_BETAS, weight_decay=self.weight_decay)
