"""Any image, from a camera or a file, to a square uint8 RGB image of the size that a profile asks for."""

import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

Source = str | os.PathLike[str] | bytes | NDArray[np.uint8] | Image.Image

# A hostile or mistaken image must not take all of a device's memory: 64 megapixels decode to 192 MB.
MAX_PIXELS = 64_000_000
# A JPEG that is shrunk while it is decoded stays this much larger than what `fit` resizes to. With a smaller
# factor the difference would show.
GAP = 2


class ImageError(ValueError):
    """A source that cannot be read as an image; the message names the source."""


def open_rgb(source: Source, size: int | None = None) -> Image.Image:
    """An upright RGB image from a path, encoded bytes, an array or a Pillow image.

    EXIF orientation is applied. Grey, palette, CMYK and 16-bit images are converted; transparency becomes white.
    Arrays are uint8 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] (RGBA).

    Args:
        source: the image.
        size: the size that `fit` will be called with, if nothing else is done with the image. A large JPEG is then
            shrunk by 2, 4 or 8 while it is decoded, which takes a fraction of the time.

    Raises:
        ImageError: the source is not an image, is truncated or empty, or has more than `MAX_PIXELS`.
    """
    if isinstance(source, np.ndarray):
        return _to_rgb(_from_array(source))
    name = f"{len(source)} bytes" if isinstance(source, bytes) else str(source)
    try:
        if isinstance(source, Image.Image):
            if not all(source.size):
                raise ImageError(f"{name}: has no pixels")
            return _to_rgb(ImageOps.exif_transpose(source))  # an image of a file is decoded only here
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else Path(source)) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise ImageError(
                    f"{name}: {opened.width}x{opened.height} is above {MAX_PIXELS} pixels; shrink it first"
                )
            if size is not None:
                _shrink(opened, size)
            return _to_rgb(ImageOps.exif_transpose(opened))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not an image that Pillow can read") from None
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise ImageError(f"{name}: cannot be decoded ({error})") from error


def fit(image: Image.Image, size: int, *, cropped: bool = False) -> NDArray[np.uint8]:
    """The centre of an image as uint8[size, size, 3], as Xu et al. take it.

    The short side is resized to size * 8/7, then the centre is cropped. With `cropped`, the image is taken to have
    been cropped like that before: its short side becomes size, and nothing more is cut off a square.
    """
    short = size if cropped else _short_side(size)
    scale = short / min(image.size)
    scaled = (max(short, round(image.width * scale)), max(short, round(image.height * scale)))
    left, top = (scaled[0] - size) / 2, (scaled[1] - size) / 2
    # The crop is given in coordinates of the source, so that only pixels that stay are resampled.
    box = (
        left * image.width / scaled[0],
        top * image.height / scaled[1],
        (left + size) * image.width / scaled[0],
        (top + size) * image.height / scaled[1],
    )
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _short_side(size: int) -> int:
    """The length to which the short side is resized before the crop."""
    return round(size * 8 / 7)


def _shrink(image: Image.Image, size: int) -> None:
    """Let the decoder of a JPEG shrink it to what `fit` needs; other formats are decoded whole."""
    scale = GAP * _short_side(size) / min(image.size)
    if scale < 1:
        image.draft(None, (round(image.width * scale), round(image.height * scale)))


def _from_array(array: NDArray[np.uint8]) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or not array.size:
        raise ImageError(
            f"need a non-empty uint8 array [H, W] or [H, W, C], got {array.dtype}{list(array.shape)}"
        )
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        raise ImageError(f"need 1, 3 or 4 colours in the last axis, got {list(array.shape)}")
    return Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        # Pillow clips these modes where it should scale them.
        wide = np.asarray(image, dtype=np.float64)
        return Image.fromarray((wide / max(wide.max(), 1.0) * 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
