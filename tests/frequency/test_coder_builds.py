"""The coder in C without Python, a library or extensions of the language."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from overtone.frequency import THREE_LAYERS, known_values, stream
from tests.frequency.test_both_coders import drawn

SOURCE = Path(__file__).parents[2] / "frequency" / "coder.c"
EXPORTS = ("overtone_measure", "overtone_encode", "overtone_decode", "overtone_message")
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror")
CLANG = shutil.which("clang")
PROFILE = drawn((0, 1, 64), (2, 8), (100, 30), THREE_LAYERS)


class LayerStruct(ctypes.Structure):
    _fields_ = (
        ("plan", ctypes.c_char_p),
        ("plan_bytes", ctypes.c_size_t),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("region", ctypes.c_char_p),
    )


class NeedsStruct(ctypes.Structure):
    _fields_ = (
        ("known", ctypes.c_int32),
        ("coded", ctypes.c_int32),
        ("workspace", ctypes.c_size_t),
        ("body", ctypes.c_size_t),
    )


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_standard_c_writes_and_reads_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "coder.so"
    build = ["cc", *STRICT, "-pedantic", "-O1", "-DOVERTONE_PLAIN", "-shared", "-fPIC", str(SOURCE)]
    subprocess.run([*build, "-o", str(path)], check=True)
    library = ctypes.CDLL(str(path))
    noise = np.random.default_rng(5).laplace(scale=8, size=(5, 9, 7)).round().astype(np.int16)
    known = noise[:0]
    for layer in range(3):
        plan, told = PROFILE.plan(layer, 1), known_values(noise, PROFILE, layer + 1)
        coded = np.ascontiguousarray(told[PROFILE.channels_of(layer)])
        at, needs = LayerStruct(plan.packed, len(plan.packed), 9, 7), NeedsStruct()
        assert library.overtone_measure(ctypes.byref(at), ctypes.byref(needs)) == 0
        workspace = (ctypes.c_uint64 * (needs.workspace // 8 + 1))()
        body, size = ctypes.create_string_buffer(needs.body), ctypes.c_size_t()
        given = (ctypes.byref(at), known.ctypes.data_as(ctypes.c_void_p))
        assert not library.overtone_encode(
            *given, coded.ctypes.data_as(ctypes.c_void_p), 77, workspace, body, ctypes.byref(size)
        )
        assert body.raw[: size.value] == stream.encode_layer(known, coded, plan, 77)
        found, check = np.empty_like(coded), ctypes.c_uint32()
        assert not library.overtone_decode(
            *given, body, size, workspace, found.ctypes.data_as(ctypes.c_void_p), ctypes.byref(check)
        )
        assert (found == coded).all()
        assert check.value == 77
        known = told


@pytest.mark.skipif(not (CLANG and shutil.which("wasm-ld")), reason="no clang with wasm-ld")
def test_it_builds_for_webassembly_and_imports_nothing(tmp_path: Path) -> None:
    path = tmp_path / "coder.wasm"
    options = ["--target=wasm32", "-Os", "-DOVERTONE_PLAIN", "-ffreestanding", "-nostdlib", "-mbulk-memory"]
    link = ["-Wl,--no-entry", "-Wl,--strip-all", *(f"-Wl,--export={name}" for name in EXPORTS)]
    # Without --allow-undefined, a function that is missing is an error.
    subprocess.run([str(CLANG), *STRICT, *options, *link, str(SOURCE), "-o", str(path)], check=True)
    module = path.read_bytes()
    assert module[:8] == b"\0asm\1\0\0\0"
    assert all(name.encode() in module for name in EXPORTS)
