"""From whatever a camera or a file gives to a square uint8 RGB picture of the size a profile asks for."""

import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

Source = str | os.PathLike[str] | bytes | NDArray[np.uint8] | Image.Image

# A hostile or mistaken picture must not take all of a device's memory: 64 megapixels decode to 192 MB.
MAX_PIXELS = 64_000_000
# How much larger than `fit` resizes to a JPEG stays when its decoder shrinks it: less would show.
GAP = 2


class PictureError(ValueError):
    """A source that is not a picture we can read; the message says what it was."""


def open_rgb(source: Source, size: int | None = None) -> Image.Image:
    """An upright RGB picture from a path, encoded bytes, an array or a Pillow image.

    EXIF orientation is applied; grey, palette, CMYK and 16-bit pictures are converted; transparency is laid
    on white. Arrays are uint8 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] (RGBA). Where all that follows is
    `fit` to a `size`, say so: a large JPEG is then shrunk by 2, 4 or 8 while it is decoded, which takes a
    camera's picture a fraction of the time.

    Raises:
        PictureError: not readable as a picture, truncated, empty, or above `MAX_PIXELS`.
    """
    if isinstance(source, np.ndarray):
        return _to_rgb(_from_array(source))
    name = f"{len(source)} bytes" if isinstance(source, bytes) else str(source)
    try:
        if isinstance(source, Image.Image):
            if not all(source.size):
                raise PictureError(f"{name}: has no pixels")
            return _to_rgb(ImageOps.exif_transpose(source))  # decoded only now, if it comes from a file
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else Path(source)) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise PictureError(
                    f"{name}: {opened.width}x{opened.height} is above {MAX_PIXELS} pixels; shrink it first"
                )
            if size is not None:
                _shrink(opened, size)
            return _to_rgb(ImageOps.exif_transpose(opened))
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(f"{name}: not a picture Pillow can read") from None
    except FileNotFoundError:
        raise PictureError(f"{name}: no such file") from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise PictureError(f"{name}: cannot be decoded ({error})") from error


def fit(picture: Image.Image, size: int, *, cropped: bool = False) -> NDArray[np.uint8]:
    """Short side to size * 8/7, then the centre size x size: uint8[size, size, 3] (method of Xu et al.).

    A picture that was `cropped` so before loses nothing more: its short side becomes size.
    """
    short = size if cropped else _short(size)
    scale = short / min(picture.size)
    scaled = (max(short, round(picture.width * scale)), max(short, round(picture.height * scale)))
    left, top = (scaled[0] - size) / 2, (scaled[1] - size) / 2
    # The crop is taken in source coordinates, so that only the pixels that stay are resampled.
    box = (
        left * picture.width / scaled[0],
        top * picture.height / scaled[1],
        (left + size) * picture.width / scaled[0],
        (top + size) * picture.height / scaled[1],
    )
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _short(size: int) -> int:
    """What the short side is resized to before the crop."""
    return round(size * 8 / 7)


def _shrink(picture: Image.Image, size: int) -> None:
    """Tell a JPEG's decoder how small its result may be; other formats decode whole."""
    scale = GAP * _short(size) / min(picture.size)
    if scale < 1:
        picture.draft(None, (round(picture.width * scale), round(picture.height * scale)))


def _from_array(array: NDArray[np.uint8]) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or not array.size:
        raise PictureError(
            f"need a non-empty uint8 array [H, W] or [H, W, C], got {array.dtype}{list(array.shape)}"
        )
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        raise PictureError(f"need 1, 3 or 4 colours last, got {list(array.shape)}")
    return Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array)


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        # Pillow clips rather than scales when it narrows these modes.
        wide = np.asarray(picture, dtype=np.float64)
        return Image.fromarray((wide / max(wide.max(), 1.0) * 255).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return picture.convert("RGB")
