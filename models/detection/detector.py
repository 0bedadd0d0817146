"""A detector for thin links: one network on the low channels, another one on all; and their twin on pixels."""

from abc import ABC, abstractmethod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from overtone.frequency.channels import HIGH, LOW
from overtone.models.detection.detections import Detections
from overtone.models.detection.features import FeatureConfig, create
from overtone.models.detection.region_network import Head, RegionNetwork


class DetectorArchitecture(BaseModel):
    """Everything needed to build a detector without its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["detector"] = "detector"
    classes: int = Field(gt=0)
    low: FeatureConfig
    high: FeatureConfig
    head: Head = Head()


class PixelArchitecture(BaseModel):
    """The same for a detector that reads pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["pixel-detector"] = "pixel-detector"
    classes: int = Field(gt=0)
    features: FeatureConfig
    head: Head = Head()


AnyDetector = Annotated[DetectorArchitecture | PixelArchitecture, Field(discriminator="kind")]


class StagedDetector(nn.Module, ABC):
    """Networks that know more and more of an image; each is trained in a step of its own."""

    @property
    @abstractmethod
    def networks(self) -> tuple[RegionNetwork, ...]:
        """The networks, from the one that knows least."""


class Detector(StagedDetector):
    """Two networks on dequantised coefficients: x6 [N, 6, h, w], or x24 [N, 24, h, w] with the low channels first.

    They share no weights: high reads what low has read again.
    """

    def __init__(self, architecture: DetectorArchitecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.low_network = RegionNetwork(create(a.low, LOW), a.classes, a.head)
        self.high_network = RegionNetwork(create(a.high, LOW + HIGH), a.classes, a.head)

    @property
    def networks(self) -> tuple[RegionNetwork, ...]:
        """Low and high."""
        return self.low_network, self.high_network

    def low(self, x6: Tensor, extents: Tensor | None = None) -> list[Detections]:
        """What the low network says of each image; `extents` as in `RegionNetwork`."""
        found: list[Detections] = self.low_network(x6, extents)
        return found

    def high(self, x24: Tensor, extents: Tensor | None = None) -> list[Detections]:
        """What the high network says of each image."""
        found: list[Detections] = self.high_network(x24, extents)
        return found


class PixelDetector(StagedDetector):
    """One network on RGB images [N, 3, H, W] of 0 to 255."""

    def __init__(self, architecture: PixelArchitecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.network = RegionNetwork(create(a.features, None), a.classes, a.head)

    @property
    def networks(self) -> tuple[RegionNetwork, ...]:
        """The only one."""
        return (self.network,)

    def forward(self, rgb: Tensor, extents: Tensor | None = None) -> list[Detections]:
        """What the network says of each image."""
        found: list[Detections] = self.network(rgb, extents)
        return found


def build(architecture: DetectorArchitecture | PixelArchitecture) -> Detector | PixelDetector:
    """The detector of an architecture, with random weights."""
    if isinstance(architecture, DetectorArchitecture):
        return Detector(architecture)
    return PixelDetector(architecture)
