"""Detectors: a cascade of two networks on DCT coefficients, and one network on pixels to compare it with."""

from abc import ABC, abstractmethod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from overtone.frequency.channels import HIGH, LOW
from overtone.models.detection.detections import Detections
from overtone.models.detection.features import FeatureConfig, create
from overtone.models.detection.region_network import HeadConfig, RegionNetwork


class DetectorArchitecture(BaseModel):
    """All that is needed to build a detector on coefficients, except its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["detector"] = "detector"
    classes: int = Field(gt=0)
    low: FeatureConfig
    high: FeatureConfig
    head: HeadConfig = HeadConfig()


class PixelArchitecture(BaseModel):
    """All that is needed to build a detector on pixels, except its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["pixel-detector"] = "pixel-detector"
    classes: int = Field(gt=0)
    features: FeatureConfig
    head: HeadConfig = HeadConfig()


AnyDetector = Annotated[DetectorArchitecture | PixelArchitecture, Field(discriminator="kind")]


class StagedDetector(nn.Module, ABC):
    """A detector of one or more networks, each of which is trained in a step of its own."""

    @property
    @abstractmethod
    def networks(self) -> tuple[RegionNetwork, ...]:
        """The networks, in the order in which they are trained: the one that reads the fewest channels first."""


class Detector(StagedDetector):
    """Two networks on dequantised coefficients: x6 [N, 6, h, w], or x24 [N, 24, h, w] with the low channels first.

    They share no weights; the high network reads the low channels again.
    """

    def __init__(self, architecture: DetectorArchitecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.low_network = RegionNetwork(create(a.low, LOW), a.classes, a.head)
        self.high_network = RegionNetwork(create(a.high, LOW + HIGH), a.classes, a.head)

    @property
    def networks(self) -> tuple[RegionNetwork, ...]:
        """The low and the high network."""
        return self.low_network, self.high_network

    def low(self, x6: Tensor, extents: Tensor | None = None) -> list[Detections]:
        """The detections of the low network in each image; `extents` as in `RegionNetwork.forward`."""
        detections: list[Detections] = self.low_network(x6, extents)
        return detections

    def high(self, x24: Tensor, extents: Tensor | None = None) -> list[Detections]:
        """The detections of the high network in each image."""
        detections: list[Detections] = self.high_network(x24, extents)
        return detections


class PixelDetector(StagedDetector):
    """One network on RGB images [N, 3, H, W] of 0 to 255."""

    def __init__(self, architecture: PixelArchitecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.network = RegionNetwork(create(a.features, None), a.classes, a.head)

    @property
    def networks(self) -> tuple[RegionNetwork, ...]:
        """The only network."""
        return (self.network,)

    def forward(self, rgb: Tensor, extents: Tensor | None = None) -> list[Detections]:
        """The detections in each image."""
        detections: list[Detections] = self.network(rgb, extents)
        return detections


def build(architecture: DetectorArchitecture | PixelArchitecture) -> Detector | PixelDetector:
    """The detector of an architecture, with random weights."""
    if isinstance(architecture, DetectorArchitecture):
        return Detector(architecture)
    return PixelDetector(architecture)
