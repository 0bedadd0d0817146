"""Imports of torchvision and timm that also work beside a CPU-only torch.

torchvision's Linux x86-64 wheel is linked against CUDA. Beside a CPU-only torch its C++ operators do not load, and
its import fails when it registers their fake kernels, unless the operators have been declared first.
"""

import contextlib
import importlib
from types import ModuleType

import torch

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []


def torchvision() -> ModuleType:
    """The torchvision package, importable whether or not its operators are."""
    if not _declared and not torch.cuda.is_available():
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in OPERATORS:
            # With a matching wheel the real operators are already there.
            with contextlib.suppress(RuntimeError):
                library.define(operator)
        _declared.append(library)
    return importlib.import_module("torchvision")


def timm() -> ModuleType:
    """The timm package, which imports torchvision."""
    torchvision()
    return importlib.import_module("timm")
