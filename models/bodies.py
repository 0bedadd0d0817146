"""Bodies: image classifiers of timm and torchvision by name, read through pixels or through coefficients.

A body was published for RGB images. `create` puts a linear decoder before it (`models.coefficient_stem`), so that it
reads DCT coefficients; `create_rgb` leaves it as it is, and `create_features` takes its stages alone, for a detector.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from overtone.models.coefficient_stem import CoefficientNetwork, Decode
from overtone.models.torch_vision import timm, torchvision

# Mean and standard deviation that most networks were trained with (R, G, B from 0 to 255); timm lists the exceptions.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
# TensorFlow's EfficientNet-Lite subtracts 127 and divides by 128; timm says 127.5 for both.
LITE = "tf_efficientnet_lite"
LITE_MEAN, LITE_STD = (127.0,) * 3, (128.0,) * 3


class BodyError(ValueError):
    """The library has no such body, or one that cannot be used here; the message says which can be had."""


class Body(BaseModel):
    """A classifier by name, and the number of pixels a side that each block of coefficients becomes.

    A device sends blocks; with 28 x 28 of them (224 pixels) and 4 pixels a block the network sees 112 x 112.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    library: Literal["timm", "torchvision"] = "timm"
    pixels: int = Field(ge=1, le=8)


@dataclass(frozen=True)
class InputSpec:
    """The input that a network was trained on.

    Attributes:
        mean: of R, G and B, from 0 to 255, which is subtracted from an image.
        std: the standard deviations by which the difference is divided.
        first_conv: name of the module that reads the image, the network's first convolution.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    first_conv: str


def names() -> dict[str, Literal["timm", "torchvision"]]:
    """The library of every body, by the body's name; timm's where both libraries have one of that name."""
    libraries: dict[str, Literal["timm", "torchvision"]] = {}
    libraries.update(dict.fromkeys(torchvision().models.list_models(torchvision().models), "torchvision"))
    with contextlib.suppress(ModuleNotFoundError):
        libraries.update(dict.fromkeys(timm().list_models(), "timm"))
    return libraries


def create(body: Body, channels: Sequence[int], classes: int) -> CoefficientNetwork:
    """The network with random weights, reading coefficients float[N, len(channels), h, w].

    Raises:
        BodyError: the library has no network of that name, or its input is not an RGB image.
    """
    network, spec = _build(body, classes)
    return CoefficientNetwork(Decode(channels, body.pixels, spec.mean, spec.std), network, spec.first_conv)


def create_rgb(body: Body, classes: int) -> "RGBNetwork":
    """The network with random weights, reading images; `body.pixels` does not matter.

    Raises:
        BodyError: as in `create`.
    """
    return RGBNetwork(*_build(body, classes))


def create_features(body: Body, strides: Sequence[int]) -> tuple[nn.Module, InputSpec, tuple[int, ...]]:
    """The stages of a network with random weights: normalised images -> a list of feature maps, one for each stride.

    Returns:
        The stages, whose weights are named as in the classifier; the input they expect; the channels of each map.

    Raises:
        BodyError: the library has no such network, or it has no maps of these strides.
    """
    if body.library != "timm":
        raise BodyError(f"{body.name}: only timm's networks give their stages")
    try:
        whole = timm().create_model(body.name, features_only=True)
        by_stride = dict(zip(whole.feature_info.reduction(), range(len(whole.feature_info)), strict=True))
        indices = tuple(by_stride[stride] for stride in strides)
        network = timm().create_model(body.name, features_only=True, out_indices=indices)
    except (RuntimeError, ValueError, AttributeError) as error:
        raise BodyError(f"timm has no body {body.name!r} with stages ({error})") from None
    except KeyError as error:
        raise BodyError(f"{body.name}: has no maps of stride {error}") from None
    return network, _timm_input(body.name, network.default_cfg), tuple(network.feature_info.channels())


class PixelNormalise(nn.Module):
    """RGB images [N, 3, H, W] of 0 to 255 -> the float32 images that a network was trained on."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, rgb: Tensor) -> Tensor:
        """Normalised images of the same shape."""
        return (rgb.float() - self.mean) / self.std


class RGBNetwork(nn.Module):
    """A body that reads RGB images [N, 3, H, W] of 0 to 255."""

    def __init__(self, network: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.network, self.normalise = network, PixelNormalise(spec)

    def forward(self, rgb: Tensor) -> Tensor:
        """Logits [N, classes]."""
        logits: Tensor = self.network(self.normalise(rgb).contiguous(memory_format=torch.channels_last))
        return logits


def _build(body: Body, classes: int) -> tuple[nn.Module, InputSpec]:
    try:
        if body.library == "timm":
            network = timm().create_model(body.name, num_classes=classes)
            return network, _timm_input(body.name, network.default_cfg)
        network = torchvision().models.get_model(body.name, weights=None, num_classes=classes)
    except (RuntimeError, ValueError, KeyError) as error:
        raise BodyError(f"{body.library} has no body {body.name!r} ({error})") from None
    return network, InputSpec(IMAGENET_MEAN, IMAGENET_STD, _first_convolution(network))


def _timm_input(name: str, config: dict[str, Any]) -> InputSpec:
    first_conv = str(config["first_conv"])
    if name.startswith(LITE):
        return InputSpec(LITE_MEAN, LITE_STD, first_conv)
    mean, std = (tuple(255 * value for value in config[key]) for key in ("mean", "std"))
    return InputSpec(mean, std, first_conv)


def _first_convolution(network: nn.Module) -> str:
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            if module.in_channels != 3:
                break
            return str(name)
    raise BodyError(f"{type(network).__name__} has no convolution over RGB to begin with")
