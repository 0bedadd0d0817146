"""Imports of torchvision and timm that also work beside a torch for which torchvision was not built.

torchvision's wheel on PyPI is linked against CUDA. Beside a CPU-only torch its C++ operators do not load, and its
import fails when it registers their fake kernels, unless the operators have been declared first. Where they do load,
they must not be declared: the second declaration of an operator ends the process.
"""

import importlib
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
from types import ModuleType

import torch

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []


def torchvision() -> ModuleType:
    """The torchvision package, importable whether or not its operators are."""
    if not _declared and not _operators_load():
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in OPERATORS:
            library.define(operator)
        _declared.append(library)
    return importlib.import_module("torchvision")


@cache
def _operators_load() -> bool:
    """Load torchvision's C++ operators, as its import does, and say whether that was possible."""
    package = find_spec("torchvision")
    found = PathFinder.find_spec("_C", package.submodule_search_locations) if package else None
    if found is None or found.origin is None:
        return False
    try:
        torch.ops.load_library(found.origin)
    except OSError:
        return False
    return True


def timm() -> ModuleType:
    """The timm package, which imports torchvision."""
    torchvision()
    return importlib.import_module("timm")
