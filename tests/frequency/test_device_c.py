"""The device in C: its bytes are those of the Python package, and it needs no library to be built."""

import base64
import ctypes
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from overtone.frequency import BlockMask, PayloadError, Profile, encode_region, encode_values
from overtone.frequency.c_profile import c_profile
from tests.frequency.test_block_mask import masks, rows_spelt_out
from tests.frequency.test_coder_builds import STRICT
from tests.frequency.test_golden import GOLDEN, NAMES, REGIONS, mask_of, values_of
from tests.frequency.test_golden_pixels import FILE
from tests.frequency.test_regions import MASK, PROFILES, SENT, SIDE, THREE, VALUES

FREQUENCY = Path(__file__).parents[2] / "frequency"
SOURCES = [str(FREQUENCY / name) for name in ("device.c", "block_mask.c", "coder.c")]
# The header's constants as functions that can be called from here.
CALLS = """
#include "profile.h"
size_t values(void) { return overtone_values(&profile); }
size_t workspace(void) { return overtone_workspace(&profile); }
void analyse(const uint8_t *lines, int32_t row, int16_t *to) { overtone_analyse(&profile, lines, row, to); }
int encode(const int16_t *from, void *work, uint8_t *out, size_t room, overtone_payload *payloads)
{
    return overtone_encode_image(&profile, from, work, out, room, payloads);
}
int region(const int16_t *from, const uint8_t *mask, size_t size, int32_t after, void *work, uint8_t *out, size_t room,
           overtone_payload *payloads)
{
    return overtone_encode_region(&profile, from, mask, size, after, work, out, room, payloads);
}
const char *label(int number) { return labels[number]; }
"""
NO_ROOM, BAD_REGION = 3, 12

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")


class Payload(ctypes.Structure):
    _fields_ = (("bytes", ctypes.c_void_p), ("size", ctypes.c_size_t))


Build = Callable[[Profile, int], ctypes.CDLL]
# A packed mask of (height, width) blocks to a byte for each of them; None where it is refused.
Unpack = Callable[[bytes, tuple[int, int]], bytes | None]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The sources, compiled, which no profile changes."""
    folder = tmp_path_factory.mktemp("objects")
    paths = [str(folder / f"{Path(source).stem}.o") for source in SOURCES]
    for source, path in zip(SOURCES, paths, strict=True):
        options = [*STRICT, "-Wconversion", "-DOVERTONE_PLAIN", "-O0", "-fPIC"]
        subprocess.run(["cc", *options, "-c", source, "-o", path], check=True)
    return paths


@pytest.fixture(scope="module")
def unpack(objects: list[str], tmp_path_factory: pytest.TempPathFactory) -> Unpack:
    path = tmp_path_factory.mktemp("mask") / "mask.so"
    subprocess.run(["cc", "-shared", *objects, "-lm", "-o", str(path)], check=True)
    library = ctypes.CDLL(str(path))

    def unpacked(packed: bytes, shape: tuple[int, int]) -> bytes | None:
        blocks = ctypes.create_string_buffer(shape[0] * shape[1])
        status = library.overtone_unpack_mask(packed, ctypes.c_size_t(len(packed)), *shape, blocks)
        assert status in (0, BAD_REGION)
        return None if status else blocks.raw

    return unpacked


@pytest.fixture
def build(tmp_path: Path, objects: list[str]) -> Build:
    def built(profile: Profile, quality: int) -> ctypes.CDLL:
        folder = tmp_path / str(quality)
        folder.mkdir()
        (folder / "profile.h").write_text(c_profile(profile, quality))
        (folder / "calls.c").write_text(CALLS)
        include = ["-I", str(folder), "-I", str(FREQUENCY)]
        options = [*STRICT, "-Wconversion", "-O0", "-shared", "-fPIC", *include]
        command = ["cc", *options, str(folder / "calls.c"), *objects, "-lm", "-o", str(folder / "device.so")]
        subprocess.run(command, check=True)
        library = ctypes.CDLL(str(folder / "device.so"))
        library.values.restype = library.workspace.restype = ctypes.c_size_t
        library.label.restype = ctypes.c_char_p
        return library

    return built


def golden() -> tuple[Profile, bytes, dict[int, list[bytes]]]:
    stored = json.loads(FILE.read_text())
    payloads = {int(q): [bytes.fromhex(p) for p in found] for q, found in stored["payloads"].items()}
    return Profile.from_json(json.dumps(stored["profile"])), base64.b64decode(stored["fitted"]), payloads


def encoded(device: ctypes.CDLL, rgb: bytes, size: int, room: int) -> tuple[int, list[bytes]]:
    values = (ctypes.c_int16 * device.values())()
    pitch = 8 * 3 * size
    for row in range(size // 8):
        device.analyse(rgb[row * pitch : (row + 1) * pitch], row, values)
    workspace = np.zeros(device.workspace() // 16 + 1, np.complex128)
    payloads, out = (Payload * 8)(), ctypes.create_string_buffer(room)
    status = device.encode(
        values, workspace.ctypes.data_as(ctypes.c_void_p), out, ctypes.c_size_t(room), payloads
    )
    return status, [ctypes.string_at(p.bytes, p.size) for p in payloads if p.bytes]


def test_pixels_become_the_golden_payloads(build: Build) -> None:
    profile, rgb, payloads = golden()
    for quality, expected in payloads.items():
        status, found = encoded(build(profile, quality), rgb, profile.size, 1 << 14)
        assert (status, found) == (0, expected)


def test_payloads_that_do_not_fit_are_refused(build: Build) -> None:
    profile, rgb, payloads = golden()
    device, room = build(profile, 2), sum(map(len, payloads[2]))
    assert encoded(device, rgb, profile.size, room) == (0, payloads[2])
    assert encoded(device, rgb, profile.size, room - 1)[0] == NO_ROOM


def in_region(
    device: ctypes.CDLL, values: NDArray[np.int16], packed: bytes, after: int = 1, room: int = 1 << 14
) -> tuple[int, list[bytes]]:
    """The status, and the payloads of the layers after the first so many."""
    workspace = np.zeros(device.workspace() // 16 + 1, np.complex128)
    payloads, out = (Payload * 8)(), ctypes.create_string_buffer(room)
    status = device.region(
        values.ctypes.data_as(ctypes.c_void_p),
        packed,
        ctypes.c_size_t(len(packed)),
        after,
        workspace.ctypes.data_as(ctypes.c_void_p),
        out,
        ctypes.c_size_t(room),
        payloads,
    )
    return status, [ctypes.string_at(p.bytes, p.size) for p in payloads if p.bytes]


def test_regions_become_the_golden_payloads(build: Build) -> None:
    regions, profile = json.loads(REGIONS.read_text()), Profile.from_json(json.dumps(GOLDEN["profile"]))
    devices = {quality: build(profile, quality) for quality in profile.qualities}
    for name in NAMES:
        values, quality = values_of(name, profile)
        packed = mask_of(regions[name]["mask"]).pack()
        status, found = in_region(devices[quality], values, packed)
        assert (status, [payload.hex() for payload in found]) == (0, regions[name]["payloads"]), name


def test_a_region_after_any_layer_of_a_long_ladder(build: Build) -> None:
    """Values outside are three times coarser where layers between refine them, and none where one adds channels."""
    profile = PROFILES[5]
    values = VALUES * 31
    whole = encode_values(values, profile, 2)
    device = build(profile, 2)
    for after in range(1, 6):
        expected = encode_region(whole, profile, MASK, after).layers[after:]
        assert in_region(device, values, MASK.pack(), after) == (0, [*expected])


def test_hostile_regions_are_refused(build: Build) -> None:
    device, good = build(THREE, 1), MASK.pack()
    assert in_region(device, VALUES, good) == (0, [*encode_region(SENT, THREE, MASK).layers[1:]])
    other = BlockMask(np.eye(SIDE + 1, dtype=np.bool_)).pack()
    bad = [b"", bytes(4), good[:-1], good[:-2], good + b"\0", good + bytes(2), b"\xff" * 8, good * 99, other]
    bad += [rows_spelt_out([[1] * SIDE] * SIDE)]
    for packed in bad:
        assert in_region(device, VALUES, packed) == (BAD_REGION, []), packed
    for after in (-1, 0, 4):
        assert in_region(device, VALUES, good, after) == (BAD_REGION, [])
    status, found = in_region(device, VALUES, good, room=len(good) + 8)
    assert (status, found) == (NO_ROOM, [])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 60))
def test_a_damaged_mask_is_refused_or_is_one_that_python_writes(unpack: Unpack, data: bytes, at: int) -> None:
    good = MASK.pack()
    for packed in (data, good[: at % len(good)] + data):
        try:
            expected = BlockMask.unpack(packed, MASK.shape).blocks.astype(np.uint8).tobytes()
        except PayloadError:
            assert unpack(packed, MASK.shape) is None
        else:
            assert unpack(packed, MASK.shape) == expected


@settings(max_examples=40, deadline=None)
@given(masks)
def test_masks_of_any_size_are_unpacked(unpack: Unpack, blocks: NDArray[np.bool_]) -> None:
    height, width = blocks.shape
    assert unpack(BlockMask(blocks).pack(), (height, width)) == blocks.tobytes()


def test_labels_of_any_letters(build: Build) -> None:
    profile, _, _ = golden()
    label = 'a "b" \\ ??/ ä1'
    device = build(Profile.from_json(profile.to_json().replace('["a"]', json.dumps([label]))), 1)
    assert device.label(0).decode() == label


@pytest.mark.skipif(not shutil.which("clang"), reason="no clang")
@pytest.mark.parametrize(
    "target", [("thumbv7em-none-eabihf", "-mcpu=cortex-m7"), ("riscv32", "-march=rv32imc")]
)
def test_it_builds_for_microcontrollers(target: tuple[str, str], tmp_path: Path) -> None:
    triple, processor = target
    for source in SOURCES:
        path = tmp_path / f"{Path(source).stem}.o"
        options = [f"--target={triple}", processor, "-ffreestanding", "-DOVERTONE_PLAIN", "-O0", *STRICT]
        subprocess.run(["clang", *options, "-c", source, "-o", str(path)], check=True)
        wanted = subprocess.run(["nm", "-u", str(path)], capture_output=True, text=True, check=True).stdout
        # Beyond each other and what compilers bring along for their own operators: floating point of libm.
        foreign = [
            name for name in re.findall(r"U (\w+)", wanted) if not name.startswith(("__", "overtone_"))
        ]
        assert set(foreign) <= {"memcpy", "memmove", "memset", "floorf", "rintf"}
