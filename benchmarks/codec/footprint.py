"""Code and memory of the C encoder on microcontrollers: `python -m overtone.benchmarks.codec.footprint`.

Needs clang, which compiles for all of them, and readelf. Memory is what the functions of overtone.h ask for on this
machine, whose pointers are at least as large.
"""

import argparse
import ctypes
import re
import subprocess
import tempfile
from pathlib import Path

from overtone import frequency
from overtone.benchmarks.markdown import table
from overtone.frequency import Profile
from overtone.frequency.c_profile import c_profile
from overtone.models import find, read_card

SOURCES = ("device.c", "block_mask.c", "coder.c")
TARGETS = {
    "Cortex-M7 (STM32H7)": ("--target=thumbv7em-none-eabihf", "-mcpu=cortex-m7"),
    "Cortex-M33 (nRF5340)": ("--target=thumbv8m.main-none-eabihf", "-mcpu=cortex-m33"),
    "RV32IMC (ESP32-C3)": ("--target=riscv32", "-march=rv32imc"),
}
OPTIONS = ("-std=c11", "-Os", "-ffreestanding", "-DOVERTONE_PLAIN")
SECTION = re.compile(r"\s\.(?:text|rodata|data)\S*\s+\w+\s+\w+\s+\w+\s+(\w+)")
CALLS = """
#include "profile.h"
size_t values(void) { return overtone_values(&profile) * sizeof(int16_t); }
size_t workspace(void) { return overtone_workspace(&profile); }
"""


def code_bytes(options: tuple[str, ...], folder: Path) -> int:
    """Bytes of code and constants of the encoder, compiled with these options."""
    found = 0
    for source in SOURCES:
        path = folder / "object.o"
        subprocess.run(["clang", *options, *OPTIONS, "-c", _source(source), "-o", str(path)], check=True)
        listed = subprocess.run(["readelf", "-SW", str(path)], check=True, capture_output=True, text=True)
        found += sum(int(size, 16) for size in SECTION.findall(listed.stdout))
    return found


def memory_bytes(profile: Profile, quality: int, folder: Path) -> tuple[int, int]:
    """Bytes of coefficients and of workspace for one image."""
    (folder / "profile.h").write_text(c_profile(profile, quality), "utf-8")
    (folder / "calls.c").write_text(CALLS)
    sources = [str(folder / "calls.c"), *map(_source, SOURCES)]
    include = ["-I", str(folder), "-I", str(Path(_source("device.c")).parent)]
    library = folder / "calls.so"
    subprocess.run(
        ["clang", "-std=c11", "-shared", "-fPIC", *include, *sources, "-lm", "-o", str(library)], check=True
    )
    calls = ctypes.CDLL(str(library))
    calls.values.restype = calls.workspace.restype = ctypes.c_size_t
    return calls.values(), calls.workspace()


def constant_bytes(profile: Profile, quality: int) -> int:
    """Bytes of the constants that `c_profile` writes, without labels: plans, matrix, offsets and steps."""
    plans = sum(len(profile.plan(layer, quality).packed) for layer in range(len(profile.ladder)))
    return plans + 4 * len(profile.low + profile.high) * (192 + 2)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m overtone.benchmarks.codec.footprint", description=__doc__
    )
    parser.add_argument("--model", default="photographs")
    parser.add_argument("--quality", type=int)
    options = parser.parse_args()
    profile = read_card(find(options.model)).profile
    quality = options.quality or profile.quality
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        constants, (values, workspace) = (
            constant_bytes(profile, quality),
            memory_bytes(profile, quality, folder),
        )
        rows = [
            [target, _kb(code_bytes(flags, folder)), _kb(constants), _kb(values), _kb(workspace)]
            for target, flags in TARGETS.items()
        ]
    head = ["processor", "code", f"profile {profile.name}, quality {quality}", "coefficients", "workspace"]
    print(table(head, rows))


def _source(name: str) -> str:
    return str(Path(frequency.__file__).parent / name)


def _kb(count: int) -> str:
    return f"{count / 1000:.1f} kB"


if __name__ == "__main__":
    main()
