"""Backbones of detectors: feature maps at several strides, from coefficients or from pixels."""

from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn

from overtone.frequency.channels import BLOCK
from overtone.models import resnet
from overtone.models.bodies import Body, PixelNormalise, create_features
from overtone.models.coefficient_stem import Decode
from overtone.models.resnet_cascade import Normalise, Stem

# Strides of the maps of pretrained bodies, in pixels of the image that they read.
STRIDES = (8, 16, 32)
# Names of the modules that timm's networks have before their blocks.
STEM = ("conv_stem", "bn1")


class BodyFeatures(BaseModel):
    """The stages of a pretrained body, which reads pixels, or the image that its channels decode to."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["body"] = "body"
    body: Body


class ResNetFeatures(BaseModel):
    """A ResNet on coefficient maps, as in `models.resnet`; strides count a block as `pixels` pixels a side."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["resnet"] = "resnet"
    width: float = Field(default=1.0, gt=0)
    stem: int = Field(default=64, gt=0)
    strides: tuple[int, int, int, int] = resnet.STRIDES
    layers: tuple[int, int, int, int] = resnet.LAYERS
    pixels: int = Field(default=BLOCK // 2, ge=1, le=BLOCK)

    @field_validator("strides")
    @classmethod
    def _double(cls, strides: tuple[int, ...]) -> tuple[int, ...]:
        if strides[1:] != (2, 2, 2):
            raise ValueError("the strides of a pyramid double from stage to stage")
        return strides


FeatureConfig = Annotated[BodyFeatures | ResNetFeatures, Field(discriminator="kind")]


class Features(nn.Module):
    """A backbone: inputs [N, C, h, w] -> feature maps, finest first.

    Attributes:
        pixels: side of one input position in pixels: 1 for images, the pixels of a block for coefficients.
        strides: of each map, in these pixels.
        channels: of each map.
    """

    pixels: int
    strides: tuple[int, ...]
    channels: tuple[int, ...]

    def __init__(self, stem: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.stem, self.network = stem, network

    def forward(self, x: Tensor) -> list[Tensor]:
        """The maps."""
        maps: list[Tensor] = self.network(self.stem(x))
        return maps

    @property
    def normalisation(self) -> Normalise | None:
        """The layer whose statistics are measured on the training set; None for a body, which brings its own."""
        return next((m for m in self.stem.modules() if isinstance(m, Normalise)), None)

    def early(self, stages: int) -> list[nn.Module]:
        """The stem and the first `stages` stages of a body, whose low-level features may stay frozen in training."""
        parts = dict(self.network.named_children())
        blocks = parts.get("blocks", parts.get("stages"))
        if not stages or not isinstance(blocks, nn.Sequential | nn.ModuleList):
            return []
        return [parts[name] for name in STEM if name in parts] + list(blocks)[:stages]


class Stages(nn.Module):
    """The residual stages of a ResNet, with the output of each of them."""

    def __init__(self, body: resnet.Body) -> None:
        super().__init__()
        self.stages = body.stages

    def forward(self, x: Tensor) -> list[Tensor]:
        """One map for each stage."""
        return list(accumulate(self.stages, lambda maps, stage: stage(maps), initial=x))[1:]


def create(config: FeatureConfig, channels: Sequence[int] | None) -> Features:
    """A backbone with random weights that reads these channels, or RGB images if `channels` is None.

    Raises:
        BodyError: no such body.
        ValueError: a ResNet is asked for that reads pixels.
    """
    if isinstance(config, BodyFeatures):
        return _of_body(config.body, channels)
    if channels is None:
        raise ValueError("this ResNet reads coefficients; give a body for pixels")
    return _of_resnet(config, len(channels))


def _of_body(body: Body, channels: Sequence[int] | None) -> Features:
    network, spec, map_channels = create_features(body, STRIDES)
    if channels is None:
        features = Features(PixelNormalise(spec), network)
        features.pixels = 1
    else:
        features = Features(Decode(channels, body.pixels, spec.mean, spec.std), network)
        features.pixels = body.pixels
    features.strides, features.channels = STRIDES, map_channels
    return features


def _of_resnet(config: ResNetFeatures, channels: int) -> Features:
    body = resnet.Body(config.stem, config.width, config.strides, config.layers)
    resnet.initialise(body)
    features = Features(nn.Sequential(Normalise(channels), Stem(channels, config.stem)), Stages(body))
    features.pixels = config.pixels
    features.strides = tuple(config.pixels * stride for stride in accumulate(config.strides, mul))
    features.channels = resnet.stage_channels(config.width)
    return features
