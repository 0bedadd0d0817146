"""A cascade of two pretrained bodies.

The low body reads the image that the low channels alone decode to, the high body the image of all 24 channels.
"""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from overtone.frequency.channels import HIGH, LOW
from overtone.models.bodies import Body, create
from overtone.models.cascade import Band, Cascade, State
from overtone.models.mix import Mix


class BodyArchitecture(BaseModel):
    """The bodies of a cascade and its number of classes: all that is needed to build it, except the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["bodies"] = "bodies"
    classes: int = Field(gt=0)
    low: Body
    high: Body

    @property
    def low_channels(self) -> int:
        """Number of channels that the low body reads."""
        return len(LOW)

    @property
    def high_channels(self) -> int:
        """Number of channels that the high body reads beside the low ones."""
        return len(HIGH)


class BodyCascade(Cascade):
    """Two bodies without common weights; the state that `high` takes is the low coefficients themselves."""

    def __init__(self, architecture: BodyArchitecture, mix: Mix | None = None) -> None:
        super().__init__(architecture, mix)
        self.low_network = create(architecture.low, LOW, architecture.classes)
        self.high_network = create(architecture.high, LOW + HIGH, architecture.classes)

    def low(self, x6: Tensor) -> tuple[Tensor, State]:
        """Logits [N, classes] of the low body, and the coefficients it read."""
        return self.low_network(x6), (x6,)

    def state(self, x6: Tensor) -> State:
        """The low coefficients, which the high body reads again."""
        return (x6,)

    def high(self, state: State, x18: Tensor) -> Tensor:
        """Logits [N, classes] of the high body, which reads all 24 channels."""
        logits: Tensor = self.high_network(torch.cat([*state, x18], dim=1))
        return logits

    @property
    def order(self) -> tuple[Band, Band]:
        """High first, so that low can learn from its answers."""
        return "high", "low"

    def steps(self) -> tuple[tuple[nn.Module, ...], tuple[nn.Module, ...]]:
        """The networks share no weights."""
        return (self.high_network,), (self.low_network,)
