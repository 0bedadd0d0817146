"""Data sets that torchvision downloads, and torchvision itself beside any torch.

torchvision's Linux x86-64 wheel is linked against CUDA. Beside a CPU-only torch its C++ operators are missing,
and its import fails when it registers their fake kernels, unless the operators have been declared before.
"""

import contextlib
import importlib
import os
import shutil
import socket
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# Seconds without a byte after which a download fails.
TIMEOUT = 30.0
_declared: list[torch.library.Library] = []


def torchvision() -> ModuleType:
    """The torchvision package, importable with or without its operators."""
    if not _declared and not torch.cuda.is_available():
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in OPERATORS:
            # A matching wheel has declared the real operators already.
            with contextlib.suppress(RuntimeError):
                library.define(operator)
        _declared.append(library)
    return importlib.import_module("torchvision")


class DownloadError(OSError):
    """A data set that is not here and could not be downloaded; the message says what to do."""


def download(name: str, folder: str, root: Path, unpack_into: Callable[[Path], object]) -> Path:
    """The folder `root / folder`, downloaded once.

    `unpack_into` gets a temporary folder. Only a complete result is moved to its place, so an interrupted
    download is never taken for a complete one.

    Raises:
        DownloadError: no network, the server refused, or the archive is damaged.
    """
    wanted, place = root / folder, root / f"{name}.partial"
    if wanted.is_dir():
        return wanted
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(before or TIMEOUT)
    try:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        with contextlib.redirect_stdout(sys.stderr):
            unpack_into(place)
        os.replace(place / folder, wanted)
    except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        raise DownloadError(
            f"{name}: cannot be downloaded to {root} ({error}); try again with a network, "
            "or give a folder with train/ and val/ instead of a name"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    shutil.rmtree(place, ignore_errors=True)
    return wanted


def fetch_imagenette(root: Path) -> Path:
    """Imagenette (320 px, 326 MB) below `root`, downloaded once; the folder that holds train/ and val/.

    Raises:
        DownloadError: no network, or the server refused.
    """

    def unpack(place: Path) -> None:
        torchvision().datasets.Imagenette(place, split="val", size="320px", download=True)

    return download("imagenette", "imagenette2-320", root, unpack)
