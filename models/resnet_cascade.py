"""A cascade of two ResNets: a low network that answers if it is confident, and a high network fused with it.

Low reads the 6 low channels. High reads the 18 high channels together with features of low:

- structure 1: the two final feature vectors are concatenated before the high classifier;
- structure 2: the low feature maps after chosen stages are added to, or concatenated with, the high ones;
- structure 3: the high body reads concat(high stem, low stem).

Those features are the *state*: a tuple of tensors that `low` returns and `high` takes.
"""

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from overtone.models.cascade import Band, Cascade, State
from overtone.models.mix import Mix
from overtone.models.resnet import LAYERS, STRIDES, Body, Head, initialise, stage_channels


class Architecture(BaseModel):
    """Everything needed to build a cascade, except its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: int = Field(gt=0)
    low_channels: int = Field(default=6, gt=0)
    high_channels: int = Field(default=18, gt=0)
    structure: Literal[1, 2, 3] = 3
    fusion: Literal["add", "concatenate"] = "concatenate"
    stages: tuple[int, ...] = (0, 1, 2, 3)
    low_width: float = Field(default=0.5, gt=0)
    high_width: float = Field(default=0.5, gt=0)
    stem: int = Field(default=32, gt=0)
    strides: tuple[int, int, int, int] = STRIDES
    layers: tuple[int, int, int, int] = LAYERS

    @model_validator(mode="after")
    def _fusable(self) -> "Architecture":
        if self.structure == 2 and (not self.stages or not set(self.stages) <= {0, 1, 2, 3}):
            raise ValueError(f"structure 2 fuses after at least one of stages 0 to 3; got {self.stages}")
        if self.structure == 2 and self.fusion == "add" and self.low_width != self.high_width:
            raise ValueError("feature maps can only be added at equal widths; use fusion = concatenate")
        return self


class Stem(nn.Sequential):
    """1x1 convolution with bias, batch normalisation, ReLU: the input layers of a body."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU())


class Normalise(nn.Module):
    """(x - mean) / std per channel, both measured on the training set."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised values of the same shape."""
        return (x - self.mean) / self.std


class ResNetCascade(Cascade):
    """Two ResNets, joined by one of the three structures."""

    architecture: Architecture

    def __init__(self, architecture: Architecture, mix: Mix | None = None) -> None:
        super().__init__(architecture, mix)
        a = architecture
        self.low_norm, self.high_norm = Normalise(a.low_channels), Normalise(a.high_channels)
        self.low_stem, self.high_stem = Stem(a.low_channels, a.stem), Stem(a.high_channels, a.stem)
        self.low_body = Body(a.stem, a.low_width, a.strides, a.layers)
        self.low_head = Head(self.low_body.features, a.classes)
        inputs = 2 * a.stem if a.structure == 3 else a.stem
        self.high_body = Body(inputs, a.high_width, a.strides, a.layers, self._extra())
        joined = self.low_body.features if a.structure == 1 else 0
        self.high_head = Head(self.high_body.features + joined, a.classes)
        initialise(self)

    def _extra(self) -> tuple[int, ...]:
        a = self.architecture
        concatenated = a.stages if a.structure == 2 and a.fusion == "concatenate" else ()
        return tuple(c if i in concatenated else 0 for i, c in enumerate(stage_channels(a.low_width)))

    def low(self, x6: Tensor) -> tuple[Tensor, State]:
        """Logits [N, classes] of the low network, and the state for `high`."""
        stem = self.low_stem(self.low_norm(x6))
        *_, last = maps = self._low_maps(stem)
        pooled = last.mean(dim=(2, 3))
        return self.low_head(pooled), self._select(stem, maps, pooled)

    def state(self, x6: Tensor) -> State:
        """The state alone, computed as cheaply as the structure allows (structure 3: the stem)."""
        stem = self.low_stem(self.low_norm(x6))
        if self.architecture.structure == 3:
            return (stem,)
        maps = self._low_maps(stem)
        return self._select(stem, maps, maps[-1].mean(dim=(2, 3)))

    def high(self, state: State, x18: Tensor) -> Tensor:
        """Logits [N, classes] of the high network fused with low's state."""
        x = self.high_stem(self.high_norm(x18))
        match self.architecture.structure:
            case 1:
                pooled = self.high_body(x).mean(dim=(2, 3))
                x = torch.cat([pooled, *state], dim=1)
            case 2:
                x = self._fuse_stages(x, iter(state))
            case 3:
                x = self.high_body(torch.cat([x, *state], dim=1))
        logits: Tensor = self.high_head(x)
        return logits

    def steps(self) -> tuple[tuple[nn.Module, ...], tuple[nn.Module, ...]]:
        """The modules that each of the two training steps trains; the second step freezes those of the first.

        Structure 3 trains the high path and the low stem first. In structures 1 and 2 high reads the whole
        low body, so low is trained first.
        """
        high = (self.high_stem, self.high_body, self.high_head)
        if self.architecture.structure == 3:
            return (self.low_stem, *high), (self.low_body, self.low_head)
        return (self.low_stem, self.low_body, self.low_head), high

    @property
    def order(self) -> tuple[Band, Band]:
        """The network that each training step trains."""
        return ("high", "low") if self.architecture.structure == 3 else ("low", "high")

    def _low_maps(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.low_body.stages:
            maps.append(x := stage(x))
        return maps

    def _select(self, stem: Tensor, maps: list[Tensor], pooled: Tensor) -> State:
        match self.architecture.structure:
            case 1:
                return (pooled,)
            case 2:
                return tuple(maps[i] for i in sorted(set(self.architecture.stages)))
            case _:
                return (stem,)

    def _fuse_stages(self, x: Tensor, low: Iterator[Tensor]) -> Tensor:
        add = self.architecture.fusion == "add"
        for i, stage in enumerate(self.high_body.stages):
            x = stage(x)
            if i in self.architecture.stages:
                x = x + next(low) if add else torch.cat([x, next(low)], dim=1)
        return x
