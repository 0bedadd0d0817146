"""Where a network runs."""

import torch


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA when there is one.

    Raises:
        ValueError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"{name!r} is not a device; try auto, cpu or cuda") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("there is no CUDA device here; try device cpu")
    return chosen
