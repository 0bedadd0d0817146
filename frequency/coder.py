"""The entropy coder of a layer: in C where the extension was built, else in numpy. Both write the same bytes.

With `OVERTONE_PURE=1` in the environment, numpy is used even where the extension was built.
"""

import os

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import stream
from overtone.frequency.coding_plan import CodingPlan
from overtone.frequency.context import Region
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


def encode_layer(
    known: Planes, coded: Planes, plan: CodingPlan, check: int, region: Region | None = None
) -> bytes:
    """The body that codes the channels of a layer, int16[C, h, w].

    `known` int16[K, h, w] are the planes that the decoder knows; where the layer refines, those of its channels are
    coarse and counted in coarse steps. `check` is a number of 16 bits that the decoder gets back. With a `region`
    bool[h, w], only its blocks are coded.

    Raises:
        ValueError: a value is not next to its coarse one, or outside the region, not the one that is known.
    """
    encode = encode_in_c if accelerated else stream.encode_layer
    return encode(known, coded, plan, check, region)


def decode_layer(
    body: bytes, known: Planes, plan: CodingPlan, region: Region | None = None
) -> tuple[Planes, int]:
    """The inverse of `encode_layer`: the layer's channels int16[C, h, w], and the check.

    Raises:
        PayloadError: `encode_layer` cannot have written this.
    """
    decode = decode_in_c if accelerated else stream.decode_layer
    return decode(body, known, plan, region)


def encode_in_c(
    known: Planes, coded: Planes, plan: CodingPlan, check: int, region: Region | None = None
) -> bytes:
    """`stream.encode_layer`, in C."""
    _, height, width = coded.shape
    before, after = np.ascontiguousarray(known), np.ascontiguousarray(coded)
    return _coder.encode(plan.packed, before, after, height, width, check, _bytes(region))


def decode_in_c(
    body: bytes, known: Planes, plan: CodingPlan, region: Region | None = None
) -> tuple[Planes, int]:
    """`stream.decode_layer`, in C."""
    _, height, width = known.shape
    blocks = height * width if region is None else int(region.sum())
    if len(body) > stream.max_body_bytes(len(plan.channels), blocks):
        raise PayloadError("damaged payload: too long for its layer")
    planes = np.ascontiguousarray(known)
    try:
        coded, check = _coder.decode(plan.packed, planes, body, height, width, _bytes(region))
    except ValueError as error:
        raise PayloadError(f"damaged payload: {error}") from None
    return np.frombuffer(coded, dtype=np.int16).reshape(-1, height, width).copy(), check


def _bytes(region: Region | None) -> NDArray[np.uint8] | None:
    return None if region is None else np.ascontiguousarray(region).view(np.uint8)
