"""The entropy coder of a band: in C where the extension was built, else in numpy. Both write the same bytes.

With `OVERTONE_PURE=1` in the environment, numpy is used even where the extension was built.
"""

import os

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import stream
from overtone.frequency.coding_plan import CodingPlan
from overtone.frequency.errors import PayloadError

try:
    if os.environ.get("OVERTONE_PURE"):
        raise ImportError("OVERTONE_PURE is set")
    from overtone.frequency import _coder
except ImportError:
    accelerated = False
else:
    accelerated = True


def encode_band(planes: NDArray[np.int16], plan: CodingPlan, check: int) -> bytes:
    """The body that codes the plan's channels, which are the last of int16[C, h, w].

    The channels before them are known to the decoder. `check` is a number of 16 bits that the decoder gets back.
    """
    return encode_in_c(planes, plan, check) if accelerated else stream.encode_band(planes, plan, check)


def decode_band(body: bytes, known: NDArray[np.int16], plan: CodingPlan) -> tuple[NDArray[np.int16], int]:
    """The inverse of `encode_band`: the plan's channels int16[C, h, w], and the check.

    Raises:
        PayloadError: `encode_band` cannot have written this.
    """
    return decode_in_c(body, known, plan) if accelerated else stream.decode_band(body, known, plan)


def encode_in_c(planes: NDArray[np.int16], plan: CodingPlan, check: int) -> bytes:
    """`stream.encode_band`, in C."""
    _, height, width = planes.shape
    return _coder.encode(plan.packed, np.ascontiguousarray(planes), height, width, check)


def decode_in_c(body: bytes, known: NDArray[np.int16], plan: CodingPlan) -> tuple[NDArray[np.int16], int]:
    """`stream.decode_band`, in C."""
    _, height, width = known.shape
    if len(body) > stream.max_body_bytes(len(plan.channels), height * width):
        raise PayloadError("damaged payload: too long for its band")
    try:
        band, check = _coder.decode(plan.packed, np.ascontiguousarray(known), body, height, width)
    except ValueError as error:
        raise PayloadError(f"damaged payload: {error}") from None
    return np.frombuffer(band, dtype=np.int16).reshape(-1, height, width).copy(), check
