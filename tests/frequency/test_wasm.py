"""The device in JavaScript and WebAssembly: its bytes are those of the Python package, in Node here."""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from overtone.frequency import (
    LetterBox,
    Profile,
    decode,
    dequantise,
    encode,
    encode_region,
    encode_values,
    fit,
    image,
    letter_boxed,
)
from overtone.models import find, read_card
from tests.frequency.test_golden import GOLDEN as LAYERS
from tests.frequency.test_golden import NAMES, REGIONS, mask_of
from tests.frequency.test_golden_pixels import BOXED
from tests.frequency.test_golden_pixels import FILE as PIXELS
from tests.frequency.test_regions import MASK, PROFILES, VALUES

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "frequency" / "wasm" / "overtone.wasm"
SCRIPT = Path(__file__).parent / "wasm" / "codec.js"
NODE = shutil.which("node")
# The compiler with which the module in the repository was built; others write other instructions.
COMPILER = "14.0.6"
needs_node = pytest.mark.skipif(NODE is None, reason="no node")


def ask(
    profile: Profile,
    images: Sequence[NDArray[np.uint8]] = (),
    values: Iterable[Any] = (),
    regions: Iterable[Any] = (),
    masks: Iterable[bytes] = (),
    module: Path = MODULE,
) -> Any:
    """What the JavaScript device makes of images uint8[H, W, 3], of quantised values, regions of them, and masks."""
    coded = [
        {"rgb": base64.b64encode(each.tobytes()).decode(), "width": each.shape[1], "height": each.shape[0]}
        for each in images
    ]
    given = {
        "profile": json.loads(profile.to_json()),
        "id": profile.id.hex(),
        "images": coded,
        "values": [*values],
        "regions": [*regions],
        "masks": [mask.hex() for mask in masks],
    }
    command = [str(NODE), str(SCRIPT), str(module)]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def photographs() -> Profile:
    """The profile of a bundled checkpoint: 224 pixels, three layers, trained tables."""
    return read_card(find("photographs")).profile


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module, made from the sources as they are."""
    if not (shutil.which("clang") and shutil.which("wasm-ld") and shutil.which("make")):
        pytest.skip("no clang with wasm-ld, or no make")
    path = tmp_path_factory.mktemp("wasm") / "overtone.wasm"
    subprocess.run(["make", "--silent", "wasm", f"WASM={path}"], cwd=ROOT, check=True)
    return path


def test_the_module_in_the_repository_is_that_of_the_sources(rebuilt: Path) -> None:
    version = subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True).stdout
    if COMPILER not in version:
        pytest.skip(f"it was built with clang {COMPILER}, and this is {re.findall('[0-9.]+', version)[0]}")
    assert rebuilt.read_bytes() == MODULE.read_bytes()


@needs_node
@pytest.mark.parametrize("which", ["committed", "rebuilt"])
def test_it_writes_the_golden_payloads(which: str, request: pytest.FixtureRequest) -> None:
    module = MODULE if which == "committed" else request.getfixturevalue("rebuilt")
    profile = Profile.from_json(json.dumps(LAYERS["profile"]))
    cases = LAYERS["cases"].values()
    assert ask(profile, values=cases, module=module)["layers"] == [case["payloads"] for case in cases]
    golden = json.loads(PIXELS.read_text())
    profile = Profile.from_json(json.dumps(golden["profile"]))
    pixels = np.frombuffer(base64.b64decode(golden["rgb"]), np.uint8)
    (found,) = ask(profile, [pixels.reshape(golden["height"], golden["width"], 3)], module=module)["images"]
    assert found["fitted"] == golden["fitted"]
    assert found["payloads"] == list(golden["payloads"].values())


@needs_node
def test_regions_become_the_golden_payloads() -> None:
    golden, profile = json.loads(REGIONS.read_text()), Profile.from_json(json.dumps(LAYERS["profile"]))
    cases = [
        LAYERS["cases"][name] | {"mask": mask_of(golden[name]["mask"]).pack().hex(), "after": 1}
        for name in NAMES
    ]
    good = mask_of(golden["ordinary"]["mask"]).pack()
    hostile = [b"", bytes(4), good[:-2], good + bytes(2), good * 99]
    found = ask(profile, regions=cases, masks=[good, *hostile])
    assert found["regions"] == [golden[name]["payloads"] for name in NAMES]
    assert found["refused"] == [None, *["no region of this image"] * len(hostile)]


@needs_node
def test_a_region_after_any_layer_of_a_long_ladder() -> None:
    profile, values = PROFILES[5], VALUES * 31
    whole = encode_values(values, profile, 2)
    given = {"values": values.ravel().tolist(), "quality": 2, "mask": MASK.pack().hex()}
    found = ask(profile, regions=[given | {"after": after} for after in range(1, 6)])["regions"]
    for after, payloads in enumerate(found, 1):
        expected = encode_region(whole, profile, MASK, after).layers[after:]
        assert payloads == [payload.hex() for payload in expected]


@needs_node
def test_whole_pictures_lie_in_a_letter_box_as_in_python(photograph: NDArray[np.uint8]) -> None:
    """Of any shape, shrunk, enlarged and left as they are; the golden one is wider than high."""
    golden = json.loads(BOXED.read_text())
    profile = Profile.from_json(json.dumps(golden["profile"]))
    pixels = np.frombuffer(base64.b64decode(golden["rgb"]), np.uint8)
    first = pixels.reshape(golden["height"], golden["width"], 3)
    rng = np.random.default_rng(2)
    shapes = [(20, 32), (7, 11), (3, 400), (53, 33), (90, 5), (32, 32), (1, 1)]
    noise = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    images = [first, photograph, *noise]
    found = ask(profile, images)["images"]
    assert found[0]["letterBoxed"] == golden["letter_boxed"]
    for rgb, got in zip(images, found, strict=True):
        square = np.frombuffer(base64.b64decode(got["letterBoxed"]), np.uint8)
        expected = letter_boxed(Image.fromarray(rgb), profile.size)
        assert got["boxed"] == [*LetterBox(profile.size, rgb.shape[1], rgb.shape[0]).content]
        # Pillow 13 shrinks those that are more than twice as high as wide in the other order, which rounds elsewhere.
        if rgb.shape[0] <= 2 * rgb.shape[1]:
            np.testing.assert_array_equal(square.reshape(expected.shape), expected)
        assert np.abs(square.reshape(expected.shape).astype(int) - expected).mean() < 1


@needs_node
def test_it_does_with_any_image_what_python_does(photograph: NDArray[np.uint8], photographs: Profile) -> None:
    """Shrunk and enlarged, high and wide, of noise and of a few colours; with a profile of trained size."""
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (301, 217, 3), dtype=np.uint8)
    flat = np.full((224, 224, 3), (12, 200, 99), np.uint8)
    images = [photograph, noise, noise[:40, :31], np.tile(photograph, (7, 9, 1)), flat]
    found = ask(photographs, images)["images"]
    for rgb, got in zip(images, found, strict=True):
        fitted = np.frombuffer(base64.b64decode(got["fitted"]), np.uint8).reshape(224, 224, 3)
        expected = fit(Image.fromarray(rgb), photographs.size)
        # Pillow 13 shrinks some that are higher than wide in the other order, which rounds elsewhere.
        if rgb.shape[0] <= rgb.shape[1]:
            np.testing.assert_array_equal(fitted, expected)
        assert np.abs(fitted.astype(int) - expected).mean() < 1
        for quality, payloads in zip(photographs.qualities, got["payloads"], strict=True):
            assert payloads == [each.hex() for each in encode(fitted, photographs, quality).layers]


@needs_node
def test_its_pictures_are_what_the_server_sees(photograph: NDArray[np.uint8], photographs: Profile) -> None:
    (found,) = ask(photographs, [photograph])["images"]
    payloads = encode(fit(Image.fromarray(photograph), photographs.size), photographs).layers
    channels = photographs.low + photographs.high
    for layers, picture in enumerate(found["pictures"], 1):
        seen = decode(payloads[:layers], photographs)
        expected = image(dequantise(seen.values, seen.steps), channels[: len(seen.values)])
        rgba = np.frombuffer(base64.b64decode(picture), np.uint8).reshape(*expected.shape[:2], 4)
        # Sums of floats may be rounded to either side.
        assert np.abs(rgba[..., :3].astype(int) - expected).max() <= 1
        assert (rgba[..., 3] == 255).all()
