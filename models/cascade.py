"""The interface of a cascade: a low network, and a high network for the images of which low is unsure."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from overtone.models.mix import Mix

if TYPE_CHECKING:
    from overtone.models.architectures import AnyArchitecture

State = tuple[Tensor, ...]
Band = Literal["low", "high"]


class Cascade(nn.Module, ABC):
    """Two networks on dequantised coefficients: x6 [N, 6, h, w], and x18 [N, 18, h, w] where low is unsure.

    What high needs of low is the *state*: a tuple of tensors that `low` returns and `high` takes. With a `mix` the
    high answer combines both networks' logits; see `answer`.
    """

    def __init__(self, architecture: "AnyArchitecture", mix: Mix | None = None) -> None:
        super().__init__()
        self.architecture: AnyArchitecture = architecture
        self.mix = mix

    @abstractmethod
    def low(self, x6: Tensor) -> tuple[Tensor, State]:
        """Logits [N, classes] of the low network, and the state for `high`."""

    @abstractmethod
    def state(self, x6: Tensor) -> State:
        """The state alone, computed as cheaply as the network allows."""

    @abstractmethod
    def high(self, state: State, x18: Tensor) -> Tensor:
        """Logits [N, classes] of the high network."""

    @abstractmethod
    def steps(self) -> tuple[tuple[nn.Module, ...], tuple[nn.Module, ...]]:
        """The modules that each of the two training steps trains; the second step freezes those of the first."""

    @property
    @abstractmethod
    def order(self) -> tuple[Band, Band]:
        """The network that each training step trains."""

    def answer(self, low: Tensor, high: Tensor) -> Tensor:
        """Logits [N, classes] of the high answer, from the low and the high network's logits."""
        return high if self.mix is None else self.mix(low, high)

    def forward(self, x6: Tensor, x18: Tensor) -> Tensor:
        """Logits of the high network from both bands; the low classifier is not run."""
        return self.high(self.state(x6), x18)
