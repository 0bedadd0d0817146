"""The device that a network runs on."""

import torch


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA if there is one.

    Raises:
        ValueError: this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"{name!r} is not a device; try auto, cpu or cuda") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("this machine has no CUDA device; try --device cpu")
    return chosen
