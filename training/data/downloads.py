"""Data sets that torchvision downloads."""

import contextlib
import os
import shutil
import socket
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

from overtone.models.torch_vision import torchvision

# Seconds without a byte after which a download fails.
TIMEOUT = 30.0


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
