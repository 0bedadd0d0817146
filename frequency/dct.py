"""The block DCT and its inverse: JFIF YCbCr, orthonormal 8x8 DCT-II, chroma at full resolution.

The colour transform and the DCT are both linear, so one matrix turns the 192 numbers of an RGB block into the
coefficients that are wanted. The others are never computed.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.channels import BLOCK, COUNT

# ITU-T T.871 (JFIF), clause 7: full-range YCbCr from RGB; the chroma rows sum to zero.
RGB_TO_YCC = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.299 / 1.772, -0.587 / 1.772, 0.886 / 1.772],
        [0.701 / 1.402, -0.587 / 1.402, -0.114 / 1.402],
    ]
)
LEVEL_SHIFT = 128.0


def dct_matrix(n: int = BLOCK) -> NDArray[np.float64]:
    """Orthonormal DCT-II as a float64[n, n] matrix: row k is the basis of frequency k."""
    k, x = np.ogrid[:n, :n]
    basis: NDArray[np.float64] = np.sqrt(2.0 / n) * np.cos(np.pi * (2 * x + 1) * k / (2 * n))
    basis[0] = np.sqrt(1.0 / n)
    return basis


@lru_cache(maxsize=32)
def _basis(channels: tuple[int, ...]) -> NDArray[np.float64]:
    """float64[C, 64, 3]: the weight of each pixel (row-major) and colour of a block in each channel."""
    if not channels or min(channels) < 0 or max(channels) >= COUNT:
        raise ValueError(f"channels must be indices from 0 to {COUNT - 1}, at least one; got {channels}")
    d = dct_matrix()
    planes = np.einsum("vy,ux,kc->kvuyxc", d, d, RGB_TO_YCC)
    wanted: NDArray[np.float64] = planes.reshape(COUNT, BLOCK * BLOCK, 3)[list(channels)]
    return wanted


@lru_cache(maxsize=32)
def analysis(channels: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Matrix float32[C, 192] and offset float32[C] that turn an RGB block into its coefficients.

    The 192 numbers of a block run over rows, then columns, then R, G, B, as they do in memory.
    """
    matrix = _basis(channels).reshape(len(channels), -1)
    luma_dc = np.array([c == 0 for c in channels])
    return matrix.astype(np.float32), (-LEVEL_SHIFT * BLOCK * luma_dc).astype(np.float32)


@lru_cache(maxsize=32)
def _synthesis(channels: tuple[int, ...]) -> NDArray[np.float32]:
    """float32[192, C]: the matrix from coefficients to an RGB block, level shift not yet undone."""
    if not channels or min(channels) < 0 or max(channels) >= COUNT:
        raise ValueError(f"channels must be indices from 0 to {COUNT - 1}, at least one; got {channels}")
    d = dct_matrix()
    blocks = np.einsum("vy,ux,ck->yxckvu", d, d, np.linalg.inv(RGB_TO_YCC))
    wanted: NDArray[np.float32] = blocks.reshape(COUNT, COUNT)[:, list(channels)].astype(np.float32)
    return wanted


def blocks(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8[H, W, 3] to uint8[H/8, W/8, 192], one row per block.

    Raises:
        ValueError: the image is not uint8 RGB, or a side is not a multiple of 8.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"need uint8[H, W, 3] RGB, got {rgb.dtype}{list(rgb.shape)}")
    height, width, _ = rgb.shape
    if height % BLOCK or width % BLOCK or not height or not width:
        raise ValueError(f"sides must be multiples of {BLOCK}, got {width}x{height}; resize or crop first")
    split = rgb.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3)
    return split.transpose(0, 2, 1, 3, 4).reshape(height // BLOCK, width // BLOCK, COUNT)


def coefficients(rgb: NDArray[np.uint8], channels: Sequence[int]) -> NDArray[np.float32]:
    """DCT coefficients float32[C, H/8, W/8] of an RGB image uint8[H, W, 3], for these channels only.

    They are exact sums, rounded once: the matrix's entries are multiples of 2^-34 below 1, so float64 holds every sum
    of 192 products with pixels exactly, whatever order a machine adds them in. So all machines quantise alike.
    """
    matrix, offset = analysis(tuple(channels))
    product = blocks(rgb).astype(np.float64) @ matrix.T.astype(np.float64) + offset
    return np.ascontiguousarray(product.transpose(2, 0, 1), dtype=np.float32)


def image(values: NDArray[np.floating], channels: Sequence[int]) -> NDArray[np.uint8]:
    """The RGB image uint8[H, W, 3] of coefficients [C, H/8, W/8]; channels that are absent count as zero.

    With all 192 channels this is the exact inverse of `coefficients`.
    """
    if values.ndim != 3 or values.shape[0] != len(channels):
        raise ValueError(f"need coefficients [{len(channels)}, h, w], got {list(values.shape)}")
    _, rows, columns = values.shape
    pixels = values.transpose(1, 2, 0).astype(np.float32) @ _synthesis(tuple(channels)).T + LEVEL_SHIFT
    clipped = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    split = clipped.reshape(rows, columns, BLOCK, BLOCK, 3).transpose(0, 2, 1, 3, 4)
    rgb: NDArray[np.uint8] = split.reshape(rows * BLOCK, columns * BLOCK, 3)
    return rgb
