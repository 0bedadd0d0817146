"""Bodies: image classifiers with an RGB stem, by name from timm and torchvision."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from overtone.models.coefficient_stem import CoefficientNetwork, Decode
from overtone.models.torch_vision import timm, torchvision

# What most networks were trained with (R, G, B in units of 0 to 255); timm says where it is otherwise.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
# TensorFlow's EfficientNet-Lite subtracts 127 and divides by 128; timm says 127.5 for both.
LITE = "tf_efficientnet_lite"
LITE_MEAN, LITE_STD = (127.0,) * 3, (128.0,) * 3


class BodyError(ValueError):
    """No such body, or one that cannot read coefficients; the message says what can be had."""


class Body(BaseModel):
    """A classifier by name, and the number of pixels a side that each block of coefficients becomes.

    A device sends blocks; with 28 x 28 of them (224 pixels) and 4 pixels a block the network sees 112 x 112.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    library: Literal["timm", "torchvision"] = "timm"
    pixels: int = Field(ge=1, le=8)


@dataclass(frozen=True)
class Source:
    """How a network wants its input (units of 0 to 255), and the name of its first convolution."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    first: str


def names() -> dict[str, Literal["timm", "torchvision"]]:
    """All bodies that can be named here, with the library they come from; timm's before torchvision's."""
    found: dict[str, Literal["timm", "torchvision"]] = {}
    found.update(dict.fromkeys(torchvision().models.list_models(torchvision().models), "torchvision"))
    with contextlib.suppress(ModuleNotFoundError):
        found.update(dict.fromkeys(timm().list_models(), "timm"))
    return found


def create(body: Body, channels: Sequence[int], classes: int) -> CoefficientNetwork:
    """The network with new weights, reading these channels.

    Raises:
        BodyError: the library has no network of that name, or its input is not an RGB image.
    """
    network, source = _build(body, classes)
    return CoefficientNetwork(Decode(channels, body.pixels, source.mean, source.std), network, source.first)


def create_rgb(body: Body, classes: int) -> "RGBNetwork":
    """The network with new weights, reading images; `body.pixels` does not matter.

    Raises:
        BodyError: as in `create`.
    """
    network, source = _build(body, classes)
    return RGBNetwork(network, source)


def create_features(body: Body, strides: Sequence[int]) -> tuple[nn.Module, Source, tuple[int, ...]]:
    """The stages of a network with new weights: normalised images -> a list of maps, one for each stride.

    Also how the network wants its input, and the channels of the maps. The weights have the names of the classifier's.

    Raises:
        BodyError: the library has no such network, or it has no maps of these strides.
    """
    if body.library != "timm":
        raise BodyError(f"{body.name}: only timm's networks give their stages")
    try:
        whole = timm().create_model(body.name, features_only=True)
        found = dict(zip(whole.feature_info.reduction(), range(len(whole.feature_info)), strict=True))
        wanted = tuple(found[stride] for stride in strides)
        network = timm().create_model(body.name, features_only=True, out_indices=wanted)
    except (RuntimeError, ValueError, AttributeError) as error:
        raise BodyError(f"timm has no body {body.name!r} with stages ({error})") from None
    except KeyError as error:
        raise BodyError(f"{body.name}: has no maps of stride {error}") from None
    source = _timm_source(body.name, network.default_cfg)
    return network, source, tuple(network.feature_info.channels())


class RGBNetwork(nn.Module):
    """A body that reads RGB images [N, 3, H, W] of 0 to 255."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, source: Source) -> None:
        super().__init__()
        self.network = network
        for name, values in (("mean", source.mean), ("std", source.std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, rgb: Tensor) -> Tensor:
        """Logits [N, classes]."""
        normalised = (rgb.float() - self.mean) / self.std
        logits: Tensor = self.network(normalised.contiguous(memory_format=torch.channels_last))
        return logits


def _build(body: Body, classes: int) -> tuple[nn.Module, Source]:
    try:
        if body.library == "timm":
            network = timm().create_model(body.name, num_classes=classes)
            return network, _timm_source(body.name, network.default_cfg)
        network = torchvision().models.get_model(body.name, weights=None, num_classes=classes)
    except (RuntimeError, ValueError, KeyError) as error:
        raise BodyError(f"{body.library} has no body {body.name!r} ({error})") from None
    return network, Source(IMAGENET_MEAN, IMAGENET_STD, _first_convolution(network))


def _timm_source(name: str, config: dict[str, Any]) -> Source:
    first = str(config["first_conv"])
    if name.startswith(LITE):
        return Source(LITE_MEAN, LITE_STD, first)
    mean, std = (tuple(255 * value for value in config[key]) for key in ("mean", "std"))
    return Source(mean, std, first)


def _first_convolution(network: nn.Module) -> str:
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            if module.in_channels != 3:
                break
            return str(name)
    raise BodyError(f"{type(network).__name__} has no convolution over RGB to begin with")
