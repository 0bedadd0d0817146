"""The codec of an image: from pixels to the payloads of its layers, and back to quantised coefficients."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from overtone.frequency import coder
from overtone.frequency.block_mask import BlockMask
from overtone.frequency.dct import coefficients
from overtone.frequency.errors import PayloadError, WrongProfileError
from overtone.frequency.header import Header, checksum, read_header, write_header
from overtone.frequency.ladder import NEST, coarsened
from overtone.frequency.profile import Profile
from overtone.frequency.quantise import quantise
from overtone.frequency.stream import max_body_bytes
from overtone.frequency.varint import MAX_BYTES

Values = NDArray[np.int16]
Masks = tuple[BlockMask | None, ...]
HEADER_BYTES = 8 + 7 * MAX_BYTES


@dataclass(frozen=True)
class Encoded:
    """The payloads of one image, and the quality they were made at.

    Attributes:
        layers: a payload for each layer of the profile's ladder, or for each that a part of a profile has tables for;
            `encode_further` adds the others, and `encode_region` codes layers in some blocks alone.
        quality: the quality of the profile.
        values: the quantised coefficients int16[C, h, w], from which further layers are coded.
        masks: the blocks that each layer codes, None for all; empty if all layers code all blocks.
    """

    layers: tuple[bytes, ...]
    quality: int
    values: Values | None = field(default=None, compare=False, repr=False)
    masks: Masks = field(default=(), compare=False, repr=False)

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(map(len, self.layers))


@dataclass(frozen=True)
class Decoded:
    """The coefficients of an image as decoded from its first layers.

    Attributes:
        values: quantised coefficients int16[C, h, w] of the low channels, followed by the high ones once a layer
            has coded them. Outside the mask they are those of the layers below: high channels are 0 there, and low
            ones coarser.
        steps: float32[C], the quantiser step of each channel; its values are multiples of it.
        quality: the quality of the payloads.
        layers: the number of layers.
        mask: the blocks for which the last layer was sent; None stands for all.
    """

    values: Values
    steps: NDArray[np.float32]
    quality: int
    layers: int
    mask: BlockMask | None = None


def encode(rgb: NDArray[np.uint8], profile: Profile, quality: int | None = None) -> Encoded:
    """The payloads of an RGB image uint8[S, S, 3], where S is the profile's size.

    `fit` brings any image to that size. The default quality is the profile's.

    Raises:
        ValueError: the image has another size or type.
        ProfileError: the profile has no such quality.
    """
    if rgb.shape != (profile.size, profile.size, 3):
        raise ValueError(f"need uint8[{profile.size}, {profile.size}, 3] RGB, got {list(rgb.shape)}")
    quality = profile.quality if quality is None else quality
    steps = profile.known_steps(quality, len(profile.ladder))
    values = quantise(coefficients(rgb, profile.low + profile.high), steps, profile.threshold(quality))
    return encode_values(values, profile, quality)


def encode_values(values: Values, profile: Profile, quality: int) -> Encoded:
    """The payloads of coefficients int16[C, h, w], low then high, that are quantised with the profile's steps.

    Nothing is lost from here on: `decode` of all payloads returns these values.
    """
    shape = (len(profile.low + profile.high), profile.blocks, profile.blocks)
    if values.dtype != np.int16 or values.shape != shape:
        raise ValueError(f"need int16{list(shape)}, got {values.dtype}{list(values.shape)}")
    later = [_payload(values, layer, profile, quality, ()) for layer in range(1, profile.layers)]
    unknown = [0] * (len(profile.ladder) - profile.layers)
    first = _payload(values, 0, profile, quality, [*(len(payload) for payload in later), *unknown])
    return Encoded((first, *later), quality, values)


def encode_further(encoded: Encoded, profile: Profile) -> Encoded:
    """The same image with the payloads of all layers that the profile has tables for by now.

    Raises:
        ValueError: the image was made without `values`, or its last layer is of some blocks only.
    """
    return _encode_after(encoded, profile, None, len(encoded.layers))


def encode_region(encoded: Encoded, profile: Profile, mask: BlockMask, after: int = 1) -> Encoded:
    """The same image with the layers after the first `after` ones coded in the blocks of a mask only.

    Each payload holds its mask, and is decoded like any other. The first payload keeps the sizes that those layers
    have for all blocks.

    Raises:
        ValueError: the image was made without `values`, `after` is not one of its layers, or the mask is of another
            shape, or holds blocks for which the layer before was not sent.
    """
    if mask.shape != (profile.blocks, profile.blocks):
        raise ValueError(f"need a mask of {profile.blocks}x{profile.blocks} blocks, got {list(mask.shape)}")
    if not 1 <= after <= len(encoded.layers):
        raise ValueError(f"a region comes after 1 to {len(encoded.layers)} layers, not {after}")
    return _encode_after(encoded, profile, mask, after)


def _encode_after(encoded: Encoded, profile: Profile, mask: BlockMask | None, after: int) -> Encoded:
    """The same image with its first `after` layers as they are, and the others coded in a mask, or in all blocks."""
    if encoded.values is None:
        raise ValueError("no values to encode further layers from")
    masks = (encoded.masks + (None,) * after)[:after]
    layers = range(after, profile.layers)
    if layers and not _lies_within(mask, masks[-1]):
        raise ValueError("the layer before was not sent for all of these blocks")
    masks += (mask,) * len(layers)
    further = [_payload(encoded.values, layer, profile, encoded.quality, (), masks) for layer in layers]
    return replace(encoded, layers=(*encoded.layers[:after], *further), masks=masks)


def known_values(values: Values, profile: Profile, layers: int, masks: Masks = ()) -> Values:
    """The values that a decoder knows after the first `layers` layers, as `Decoded.values`.

    Args:
        values: the quantised coefficients int16[C, h, w] after all layers.
        profile: whose ladder the layers are of.
        layers: the number of layers.
        masks: the blocks for which each layer was sent, None for all.
    """
    found, count = np.zeros_like(values), len(profile.low) if layers else 0
    for number, layer in enumerate(profile.ladder[:layers]):
        channels, mask = profile.channels_of(number), masks[number] if number < len(masks) else None
        coded = coarsened(values[channels], layer.factor)
        found[channels] = coded if mask is None else np.where(mask.blocks, coded, NEST * found[channels])
        count = len(values) if layer.band == "high" else count
    return found[:count]


def decode(payloads: Sequence[bytes], profile: Profile, known: Decoded | None = None) -> Decoded:
    """Decode the payloads of an image's first layers, or of the layers that follow `known` ones.

    Raises:
        WrongProfileError: the first payload was written for another profile.
        PayloadError: a payload is damaged, not of the layer that comes next, of another image or profile, or of blocks
            for which the layer before was not sent.
    """
    if not payloads and known is None:
        raise PayloadError("no payload")
    for payload in payloads:
        known = _decode_next(payload, profile, known)
    assert known is not None
    return known


def _decode_next(payload: bytes, profile: Profile, known: Decoded | None) -> Decoded:
    header, layer = read_header(payload, len(profile.ladder)), known.layers if known else 0
    if header.layer != layer:
        raise PayloadError(f"this is a payload of layer {header.layer + 1} where one of {layer + 1} belongs")
    if known is None:
        _check_first(header, profile)
    elif header.quality != known.quality:
        raise PayloadError("the payloads are of different qualities")
    shape = (profile.blocks, profile.blocks)
    below = known.values if known else np.empty((0, *shape), np.int16)
    mask = None if header.mask is None else BlockMask.unpack(header.mask, shape)
    if known and not _lies_within(mask, known.mask):
        raise PayloadError("the layer before was not sent for all blocks of this one")
    values = _decode_layer(payload, header, below, profile, mask)
    steps = profile.known_steps(header.quality, layer + 1)
    return Decoded(values, steps, header.quality, layer + 1, mask)


def _lies_within(mask: BlockMask | None, outer: BlockMask | None) -> bool:
    """Whether all blocks of a mask are among those of another; None stands for all."""
    if outer is None or outer.everything:
        return True
    return mask is not None and outer.covers(mask)


def _check_first(header: Header, profile: Profile) -> None:
    if header.profile_id != profile.id:
        raise WrongProfileError(
            f"the payload is for profile {(header.profile_id or b'').hex()}, not {profile.id.hex()}; "
            "fetch the profile and encode again"
        )
    if header.quality not in profile.qualities:
        raise PayloadError(f"the profile has no quality {header.quality}")
    for layer, size in enumerate(header.sizes[: profile.layers - 1], 1):
        count = len(profile.plan(layer, header.quality).channels)
        if size > HEADER_BYTES + max_body_bytes(count, profile.blocks**2):
            raise PayloadError(f"damaged payload: that of layer {layer + 1} cannot be that large")


def _payload(
    values: Values, layer: int, profile: Profile, quality: int, sizes: Sequence[int], masks: Masks = ()
) -> bytes:
    """The payload of a layer of coefficients int16[C, h, w]."""
    below, after = (known_values(values, profile, layers, masks) for layers in (layer, layer + 1))
    coded, mask = after[profile.channels_of(layer)], masks[layer] if masks else None
    packed, region = (mask.pack(), mask.blocks) if mask else (None, None)
    check = checksum(layer, quality, profile.id, sizes, [below, coded], packed)
    body = coder.encode_layer(below, coded, profile.plan(layer, quality), check & 0xFFFF, region)
    return write_header(layer, quality, check >> 16, profile.id, sizes, packed) + body


def _decode_layer(
    payload: bytes, header: Header, below: Values, profile: Profile, mask: BlockMask | None
) -> Values:
    channels = profile.channels_of(header.layer)
    plan, region = profile.plan(header.layer, header.quality), mask.blocks if mask else None
    coded, check = coder.decode_layer(payload[header.length :], below, plan, region)
    contents = [below, coded]
    expected = checksum(header.layer, header.quality, profile.id, header.sizes, contents, header.mask)
    if expected != header.check << 16 | check:
        hint = ", or it belongs to another image or profile" if header.layer else ""
        raise PayloadError(f"damaged payload: the checksum is wrong{hint}")
    return np.concatenate([below[: channels.start or 0], coded, below[channels.stop :]])
