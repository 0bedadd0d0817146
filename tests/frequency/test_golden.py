"""Bytes that must never change within a version: every implementation of the codec has to produce them.

`golden/layers-v3.json` holds a profile and cases, each of which has a quality, the values (a list of integers, channel
by channel and row by row) and the payload of each layer in hex. `golden/regions-v3.json` has the payloads of the same
values where the layers after the first are of a mask, whose rows are strings of 0 and 1. Run this file as a script to
write the payloads of a new version, with a profile of random tables.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.frequency import THREE_LAYERS, BlockMask, Profile, coder, decode, encode_region, encode_values
from tests.frequency.random_tables import random_tables

FILE = Path(__file__).parent / "golden" / "layers-v3.json"
GOLDEN: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {"cases": []}
MASKS = [["0000", "0110", "0110", "0000"], ["1111"] * 4, ["0000"] * 4, ["1001", "0110", "1011", "0001"]]
REGIONS = FILE.with_name("regions-v3.json")
NAMES = ["ordinary", "coarse", "empty", "extreme"]


@pytest.mark.parametrize("in_c", [True, False], ids=["c", "numpy"])
@pytest.mark.parametrize("name", NAMES)
def test_payloads_are_the_golden_ones(name: str, in_c: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if in_c and not coder.accelerated:
        pytest.skip("the C extension was not built")
    monkeypatch.setattr(coder, "accelerated", in_c)
    profile = Profile.from_json(json.dumps(GOLDEN["profile"]))
    payloads = GOLDEN["cases"][name]["payloads"]
    values, quality = values_of(name, profile)
    assert [p.hex() for p in encode_values(values, profile, quality).layers] == payloads
    found = decode([bytes.fromhex(payload) for payload in payloads], profile)
    assert (found.values == values).all()


@pytest.mark.parametrize("in_c", [True, False], ids=["c", "numpy"])
@pytest.mark.parametrize("name", NAMES)
def test_regions_are_the_golden_ones(name: str, in_c: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if in_c and not coder.accelerated:
        pytest.skip("the C extension was not built")
    monkeypatch.setattr(coder, "accelerated", in_c)
    golden = json.loads(REGIONS.read_text())[name]
    profile = Profile.from_json(json.dumps(GOLDEN["profile"]))
    mask, payloads = mask_of(golden["mask"]), golden["payloads"]
    assert [p.hex() for p in _regions(name, profile, mask)] == payloads
    first = GOLDEN["cases"][name]["payloads"][0]
    assert decode([bytes.fromhex(payload) for payload in (first, *payloads)], profile).mask == mask


def mask_of(rows: list[str]) -> BlockMask:
    """The mask of rows of 0 and 1."""
    return BlockMask(np.array([[bit == "1" for bit in row] for row in rows]))


def _regions(name: str, profile: Profile, mask: BlockMask) -> tuple[bytes, ...]:
    """The payloads after the first."""
    values, quality = values_of(name, profile)
    return encode_region(encode_values(values, profile, quality), profile, mask).layers[1:]


def values_of(name: str, profile: Profile) -> tuple[NDArray[np.int16], int]:
    """The values int16[C, h, w] of a case, and its quality."""
    case = GOLDEN["cases"][name]
    return np.array(case["values"], np.int16).reshape(-1, profile.blocks, profile.blocks), case["quality"]


def _numbers(count: int, spread: int, seed: int) -> NDArray[np.int16]:
    """Integers peaked at zero, from a generator that depends on no library."""
    state, out = seed, []
    for _ in range(count):
        state = (state * 1103515245 + 12345) % (1 << 31)
        a, b = (state >> 8) % (2 * spread + 1) - spread, (state >> 20) % (spread + 1)
        out.append(a * b // 4)
    return np.array(out, dtype=np.int16)


def _write() -> None:
    p = Profile.uniform(["a"], size=32, steps=(64, 16), ladder=THREE_LAYERS)
    profile = replace(p, tables=random_tables(p.low + p.high, len(p.low), 2, p.ladder, units=(8, 16)))
    edges = np.array([32767, -32768, 0, -1, 1, 255, -256, 12345], dtype=np.int16)
    each = {
        "ordinary": (2, np.concatenate([_numbers(96, 8, 1), _numbers(288, 3, 2)])),
        "coarse": (1, np.concatenate([_numbers(96, 3, 3), _numbers(288, 2, 4)])),
        "empty": (1, np.zeros(384, np.int16)),
        "extreme": (2, np.resize(edges, 384)),
    }
    cases = {}
    for name, (quality, values) in each.items():
        sent = encode_values(values.reshape(24, 4, 4), profile, quality)
        payloads = [payload.hex() for payload in sent.layers]
        cases[name] = {"quality": quality, "values": values.tolist(), "payloads": payloads}
    FILE.write_text(json.dumps({"profile": json.loads(profile.to_json()), "cases": cases}) + "\n")


def _write_regions() -> None:
    profile, found = Profile.from_json(json.dumps(GOLDEN["profile"])), {}
    for name, rows in zip(NAMES, MASKS, strict=True):
        payloads = [payload.hex() for payload in _regions(name, profile, mask_of(rows))]
        found[name] = {"mask": rows, "payloads": payloads}
    REGIONS.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    _write()
    GOLDEN = json.loads(FILE.read_text())
    _write_regions()
