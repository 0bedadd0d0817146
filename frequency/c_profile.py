"""A profile at one quality as a C header, for devices that are written in C: see overtone.h."""

from collections.abc import Iterable

import numpy as np

from overtone.frequency.dct import analysis
from overtone.frequency.profile import Profile
from overtone.frequency.quantise import PLAIN

NUMBERS_A_LINE = 8


def c_profile(profile: Profile, quality: int) -> str:
    """The header: constants, and an `overtone_profile` named `profile`.

    Raises:
        ValueError: the profile lacks that quality, or tables of some of its layers.
    """
    matrix, offset = analysis(profile.low + profile.high)
    layers = len(profile.ladder)
    if profile.layers < layers:
        raise ValueError(f"the tables of {layers - profile.layers} layers are missing: get the whole profile")
    steps = profile.known_steps(quality, layers)
    threshold = profile.threshold(quality)
    packed = [profile.plan(layer, quality).packed for layer in range(layers)]
    plans = [np.frombuffer(plan + bytes(-len(plan) % 4), "<i4") for plan in packed]
    rungs = ", ".join(f"{{{int(r.band == 'high')}, {r.factor}}}" for r in profile.ladder)
    parts = [
        f"/* Profile {profile.name} ({profile.id.hex()}) at quality {quality}; `overtone c-profile` wrote this. */",
        '#include "overtone.h"',
        *(_array(f"static const int32_t plan_{i}[]", plan.tolist()) for i, plan in enumerate(plans)),
        _array("static const float matrix[]", map(_float, matrix.ravel())),
        _array("static const float offset[]", map(_float, offset)),
        _array("static const float steps[]", map(_float, steps)),
        f"static const char *const labels[] = {{{', '.join(map(_string, profile.labels))}}};",
        "static const overtone_profile profile = {",
        f"    .id = {{{', '.join(map(str, profile.id))}}},",
        f"    .quality = {quality},",
        f"    .size = {profile.size},",
        f"    .low = {len(profile.low)},",
        f"    .channels = {len(steps)},",
        f"    .dead = {_float(0.0 if threshold == PLAIN else 1 - threshold)},",
        "    .matrix = matrix,",
        "    .offset = offset,",
        "    .steps = steps,",
        f"    .layers = {layers},",
        f"    .ladder = {{{rungs}}},",
        f"    .plans = {{{', '.join(f'plan_{i}' for i in range(layers))}}},",
        f"    .plan_bytes = {{{', '.join(str(len(plan)) for plan in packed)}}},",
        "};",
    ]
    return "\n".join(parts) + "\n"


def _array(declaration: str, values: Iterable[object]) -> str:
    words = [str(value) for value in values]
    lines = (words[i : i + NUMBERS_A_LINE] for i in range(0, len(words), NUMBERS_A_LINE))
    return f"{declaration} = {{\n" + "\n".join(f"    {', '.join(line)}," for line in lines) + "\n};"


def _float(value: float | np.floating) -> str:
    """A C literal of exactly this float32, for which nine significant digits suffice."""
    text = f"{np.float32(value):.9g}"
    return text + ("f" if any(c in text for c in ".e") else ".0f")


def _string(text: str) -> str:
    return '"' + "".join(c if 32 <= ord(c) < 127 and c not in '"\\?' else _escaped(c) for c in text) + '"'


def _escaped(character: str) -> str:
    """Octal escapes of its UTF-8 bytes, which end after three digits, as hexadecimal ones do not."""
    return "".join(f"\\{byte:03o}" for byte in character.encode())
