"""torchvision beside any torch, and the data sets it fetches.

torchvision's Linux x86-64 wheel is linked against CUDA; beside a CPU-only torch its C++ operators are not
there, and its import stops at registering their fake kernels unless the operators have been declared first.
"""

import contextlib
import importlib
import os
import shutil
import socket
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import torch

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
ARCHIVES = frozenset({".tgz", ".gz"})
# Seconds without a byte.
PATIENCE = 30.0
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


class FetchError(OSError):
    """A data set that is not here and could not be fetched; the message says what to do."""


def fetch(name: str, folder: str, root: Path, download: Callable[[Path], object]) -> Path:
    """The folder `root / folder`, downloaded once; `download` is given a place of its own to unpack it.

    Only a whole folder is moved to where it is looked for, so that an interrupted download is not taken for
    one. A whole archive that was left behind is not downloaded again.

    Raises:
        FetchError: no network, the server refused, or what came was damaged.
    """
    wanted = root / folder
    if wanted.is_dir():
        return wanted
    place = root / f"{name}.partial"
    try:
        place.mkdir(parents=True, exist_ok=True)
        _forget_unpacked(place)
        with _patience(), contextlib.redirect_stdout(sys.stderr):
            download(place)
        os.replace(place / folder, wanted)
    except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        raise FetchError(
            f"{name}: cannot be fetched into {root} ({error}); try again with a network, "
            "or give a folder with train/ and val/ instead of a name"
        ) from error
    shutil.rmtree(place, ignore_errors=True)
    return wanted


def _forget_unpacked(place: Path) -> None:
    """Leave only archives: torchvision takes a folder that is there for a whole one."""
    for path in sorted(place.rglob("*"), reverse=True):
        if path.is_dir():
            # One that holds an archive stays.
            with contextlib.suppress(OSError):
                path.rmdir()
        elif path.suffix not in ARCHIVES:
            path.unlink()


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """A network that swallows packets ends in an error, not in a wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(before or PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def fetch_imagenette(root: Path) -> Path:
    """Imagenette (320 px, 326 MB) below `root`, downloaded once; the folder that holds train/ and val/.

    Raises:
        FetchError: no network, or the server refused.
    """

    def download(place: Path) -> None:
        torchvision().datasets.Imagenette(place, split="val", size="320px", download=True)

    return fetch("imagenette", "imagenette2-320", root, download)
