"""torchvision beside any torch, and the data sets it fetches.

torchvision's Linux x86-64 wheel is linked against CUDA; beside a CPU-only torch its C++ operators are not
there, and its import stops at registering their fake kernels unless the operators have been declared first.
"""

import contextlib
import importlib
import shutil
from pathlib import Path
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


def fetch_imagenette(root: Path) -> Path:
    """Imagenette (320 px, 326 MB) below `root`, downloaded once; the folder that holds train/ and val/.

    Raises:
        OSError: no network, or the server refused.
    """
    folder = root / "imagenette2-320"
    if (folder / "val").is_dir():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    try:
        torchvision().datasets.Imagenette(root, split="val", size="320px", download=True)
    except BaseException:
        # A half-unpacked folder would be taken for a whole one the next time.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder
