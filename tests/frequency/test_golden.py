"""Bytes that must never change within a version: every implementation of the codec has to produce them.

`golden/contexts-v2.json` holds a profile and cases, each of which has a quality, both bands (lists of integers,
channel by channel and row by row) and both payloads in hex. Run this file as a script to write the payloads of a
new version, with the same profile.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.frequency import Profile, coder, decode_high, decode_low, encode_bands

FILE = Path(__file__).parent / "golden" / "contexts-v2.json"
GOLDEN: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {"cases": []}
NAMES = ["ordinary", "coarse", "empty", "extreme"]


def band(values: list[int], profile: Profile) -> NDArray[np.int16]:
    return np.array(values, dtype=np.int16).reshape(-1, profile.blocks, profile.blocks)


@pytest.mark.parametrize("in_c", [True, False], ids=["c", "numpy"])
@pytest.mark.parametrize("name", NAMES)
def test_payloads_are_the_golden_ones(name: str, in_c: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if in_c and not coder.accelerated:
        pytest.skip("the C extension was not built")
    monkeypatch.setattr(coder, "accelerated", in_c)
    profile = Profile.from_json(json.dumps(GOLDEN["profile"]))
    case = GOLDEN["cases"][name]
    low, high = band(case["low"], profile), band(case["high"], profile)
    sent = encode_bands(low, high, profile, case["quality"])
    assert (sent.low.hex(), sent.high.hex()) == (case["low_payload"], case["high_payload"])
    assert (decode_low(bytes.fromhex(case["low_payload"]), profile) == low).all()
    assert (decode_high(bytes.fromhex(case["high_payload"]), low, profile) == high).all()


def _numbers(count: int, spread: int, seed: int) -> NDArray[np.int16]:
    """Integers peaked at zero, from a generator that depends on no library."""
    state, out = seed, []
    for _ in range(count):
        state = (state * 1103515245 + 12345) % (1 << 31)
        a, b = (state >> 8) % (2 * spread + 1) - spread, (state >> 20) % (spread + 1)
        out.append(a * b // 4)
    return np.array(out, dtype=np.int16)


def _write() -> None:
    profile = Profile.from_json(json.dumps(GOLDEN["profile"]))
    edges = np.array([32767, -32768, 0, -1, 1, 255, -256, 12345], dtype=np.int16)
    bands = {
        "ordinary": (2, _numbers(96, 8, 1), _numbers(288, 3, 2)),
        "coarse": (1, _numbers(96, 3, 3), _numbers(288, 2, 4)),
        "empty": (1, np.zeros(96, np.int16), np.zeros(288, np.int16)),
        "extreme": (2, np.resize(edges, 96), np.resize(edges[::-1], 288)),
    }
    cases = {}
    for name, (quality, low, high) in bands.items():
        sent = encode_bands(low.reshape(6, 4, 4), high.reshape(18, 4, 4), profile, quality)
        cases[name] = {
            "quality": quality,
            "low": low.tolist(),
            "high": high.tolist(),
            "low_payload": sent.low.hex(),
            "high_payload": sent.high.hex(),
        }
    FILE.write_text(json.dumps({"profile": json.loads(profile.to_json()), "cases": cases}) + "\n")


if __name__ == "__main__":
    _write()
