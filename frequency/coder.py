"""The entropy coder of a layer: in C where the extension was built, else in numpy. Both write the same bytes.

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

Planes = NDArray[np.int16]


def encode_layer(known: Planes, coded: Planes, plan: CodingPlan, check: int) -> bytes:
    """The body that codes the channels of a layer, int16[C, h, w].

    `known` int16[K, h, w] are the planes that the decoder knows; where the layer refines, those of its channels are
    coarse and counted in coarse steps. `check` is a number of 16 bits that the decoder gets back.
    """
    return (
        encode_in_c(known, coded, plan, check)
        if accelerated
        else stream.encode_layer(known, coded, plan, check)
    )


def decode_layer(body: bytes, known: Planes, plan: CodingPlan) -> tuple[Planes, int]:
    """The inverse of `encode_layer`: the layer's channels int16[C, h, w], and the check.

    Raises:
        PayloadError: `encode_layer` cannot have written this.
    """
    return decode_in_c(body, known, plan) if accelerated else stream.decode_layer(body, known, plan)


def encode_in_c(known: Planes, coded: Planes, plan: CodingPlan, check: int) -> bytes:
    """`stream.encode_layer`, in C."""
    _, height, width = coded.shape
    return _coder.encode(
        plan.packed, np.ascontiguousarray(known), np.ascontiguousarray(coded), height, width, check
    )


def decode_in_c(body: bytes, known: Planes, plan: CodingPlan) -> tuple[Planes, int]:
    """`stream.decode_layer`, in C."""
    _, height, width = known.shape
    if len(body) > stream.max_body_bytes(len(plan.channels), height * width):
        raise PayloadError("damaged payload: too long for its layer")
    try:
        coded, check = _coder.decode(plan.packed, np.ascontiguousarray(known), body, height, width)
    except ValueError as error:
        raise PayloadError(f"damaged payload: {error}") from None
    return np.frombuffer(coded, dtype=np.int16).reshape(-1, height, width).copy(), check
