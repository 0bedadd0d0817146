"""From pixels to bytes: resizing, DCT, quantisation and coding, the same on every machine and in every language.

`golden/pixels-v3.json` holds a profile, an image that is wider than high, and for each quality the payloads. Its pixels
and those of the resized square are in base64. `golden/letter-box-v3.json` has the same of the whole image in a letter
box, as detectors see it. Run this file as a script to write both again for a new version.
"""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overtone.frequency import Profile, encode, fit, letter_boxed
from tests.frequency.test_golden import GOLDEN as LAYERS

FILE = Path(__file__).parent / "golden" / "pixels-v3.json"
BOXED = FILE.with_name("letter-box-v3.json")
WIDTH, HEIGHT = 75, 53


def test_pixels_become_the_golden_payloads() -> None:
    golden = json.loads(FILE.read_text())
    profile = Profile.from_json(json.dumps(golden["profile"]))
    pixels = np.frombuffer(base64.b64decode(golden["rgb"]), np.uint8)
    fitted = fit(Image.fromarray(pixels.reshape(golden["height"], golden["width"], 3)), profile.size)
    assert base64.b64encode(fitted.tobytes()).decode() == golden["fitted"]
    for quality, payloads in golden["payloads"].items():
        assert [each.hex() for each in encode(fitted, profile, int(quality)).layers] == payloads


def test_whole_pictures_become_the_golden_payloads() -> None:
    golden = json.loads(BOXED.read_text())
    profile = Profile.from_json(json.dumps(golden["profile"]))
    pixels = np.frombuffer(base64.b64decode(golden["rgb"]), np.uint8)
    square = letter_boxed(Image.fromarray(pixels.reshape(golden["height"], golden["width"], 3)), profile.size)
    assert base64.b64encode(square.tobytes()).decode() == golden["letter_boxed"]
    for quality, payloads in golden["payloads"].items():
        assert [each.hex() for each in encode(square, profile, int(quality)).layers] == payloads


def drawn() -> NDArray[np.uint8]:
    """Smooth shapes with noise on them, in integers."""
    state, noise = 7, []
    for _ in range(WIDTH * HEIGHT * 3):
        state = (state * 1103515245 + 12345) % (1 << 31)
        noise.append((state >> 16) % 41 - 20)
    y, x, colour = np.mgrid[:HEIGHT, :WIDTH, :3]
    wave = np.abs((3 * x + 5 * y + 40 * colour) % 160 - 80) * 2 + (x * y * (colour + 1)) % 64
    pixels: NDArray[np.uint8] = np.clip(wave + np.array(noise).reshape(wave.shape), 0, 255).astype(np.uint8)
    return pixels


def _write() -> None:
    profile = replace(Profile.from_json(json.dumps(LAYERS["profile"])), thresholds=(50, 62))
    rgb = drawn()
    image = Image.fromarray(rgb)
    _write_square(FILE, profile, rgb, "fitted", fit(image, profile.size))
    _write_square(BOXED, profile, rgb, "letter_boxed", letter_boxed(image, profile.size))


def _write_square(
    path: Path, profile: Profile, rgb: NDArray[np.uint8], name: str, square: NDArray[np.uint8]
) -> None:
    payloads = {q: [p.hex() for p in encode(square, profile, q).layers] for q in profile.qualities}
    texts = {n: base64.b64encode(a.tobytes()).decode() for n, a in (("rgb", rgb), (name, square))}
    golden: dict[str, Any] = {"profile": json.loads(profile.to_json()), "id": profile.id.hex()}
    golden |= {"width": WIDTH, "height": HEIGHT, **texts, "payloads": payloads}
    path.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    _write()
