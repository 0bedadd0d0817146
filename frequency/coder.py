"""Which of the two implementations codes: C where it was built, else the numpy twin; the bytes are the same.

`OVERTONE_PURE=1` in the environment keeps to the twin.
"""

import os

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import stream
from overtone.frequency.errors import PayloadError
from overtone.frequency.plan import Plan

try:
    if os.environ.get("OVERTONE_PURE"):
        raise ImportError("OVERTONE_PURE is set")
    from overtone.frequency import _coder
except ImportError:
    accelerated = False
else:
    accelerated = True


def encode_band(planes: NDArray[np.int16], plan: Plan, check: int) -> bytes:
    """The body of the last channels of int16[C, h, w], those `plan` is for; the ones before are known."""
    return encode_in_c(planes, plan, check) if accelerated else stream.encode_band(planes, plan, check)


def decode_band(body: bytes, known: NDArray[np.int16], plan: Plan) -> tuple[NDArray[np.int16], int]:
    """The inverse of `encode_band`: int16[C, h, w] of the plan's channels, and the check.

    Raises:
        PayloadError: not something `encode_band` can have written.
    """
    return decode_in_c(body, known, plan) if accelerated else stream.decode_band(body, known, plan)


def encode_in_c(planes: NDArray[np.int16], plan: Plan, check: int) -> bytes:
    """`stream.encode_band`, by the C twin."""
    _, height, width = planes.shape
    return _coder.encode(plan.packed, np.ascontiguousarray(planes), height, width, check)


def decode_in_c(body: bytes, known: NDArray[np.int16], plan: Plan) -> tuple[NDArray[np.int16], int]:
    """`stream.decode_band`, by the C twin."""
    _, height, width = known.shape
    if len(body) > stream.largest(len(plan.channels), height * width):
        raise PayloadError("damaged payload: too long for its band")
    try:
        band, check = _coder.decode(plan.packed, np.ascontiguousarray(known), body, height, width)
    except ValueError as error:
        raise PayloadError(f"damaged payload: {error}") from None
    return np.frombuffer(band, dtype=np.int16).reshape(-1, height, width).copy(), check
