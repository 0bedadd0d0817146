"""Damaged payloads for both implementations: `python -m overtone.benchmarks.codec.fuzz --count 1000000`.

Bodies of real payloads of a ladder of three layers, of all blocks and of some, are flipped, cut, spliced and
overwritten; the checksum, which would reject nearly all of them at the end, is left out. Both implementations must
reject a body or decode it to the same result, and encoding that result must give the body again. A case depends on
its number alone: `--start` continues where a run ended, and `--count 1` repeats a failure. `make fuzz` builds the C
extension with AddressSanitizer and UBSan and runs this.
"""

import importlib.util
import random
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from overtone.benchmarks.codec.contexts import fitted_profile, quantised
from overtone.frequency import (
    THREE_LAYERS,
    BlockMask,
    PayloadError,
    Profile,
    coder,
    coefficients,
    known_values,
    stream,
)
from overtone.frequency.channels import HIGH, LOW
from overtone.frequency.coding_plan import CodingPlan

SIZE = 48
STEPS = (128, 48, 16)
EFFORT = 0.7
EVERY = 10_000


@dataclass(frozen=True)
class Seed:
    """The body of a valid payload, and what is needed to decode it."""

    body: bytes
    known: NDArray[np.int16]
    plan: CodingPlan
    region: NDArray[np.bool_] | None = None


class DisagreementError(Exception):
    """The implementations differ, or one accepts a body that the encoder does not write."""


def seeds() -> list[Seed]:
    """Payloads of scikit-image's photographs at several qualities, and of noise."""
    from skimage import data

    images = [getattr(data, name)() for name in ("astronaut", "coffee", "rocket", "chelsea")]
    tiles = [p[y : y + SIZE, x : x + SIZE] for p in images for y in (0, 96, 160) for x in (48, 144)]
    maps = np.stack([coefficients(np.ascontiguousarray(t), LOW + HIGH) for t in tiles])
    profile = fitted_profile(maps, STEPS, THREE_LAYERS, EFFORT)
    noise = np.random.default_rng(0).laplace(scale=900, size=maps[:2].shape).astype(np.float32)
    found = []
    rng = np.random.default_rng(1)
    for quality, step in enumerate(profile.steps, 1):
        for planes in quantised(np.concatenate([maps, noise]), step[0]):
            mask = BlockMask(rng.random(planes.shape[1:]) < rng.random())
            found += layer_seeds(planes, profile, quality)
            found += layer_seeds(planes, profile, quality, mask)[1:]
    return found


def layer_seeds(
    planes: NDArray[np.int16], profile: Profile, quality: int, mask: BlockMask | None = None
) -> list[Seed]:
    """One for each layer of an image int16[C, h, w]; those after the first are of a mask's blocks."""
    found, known, masks = [], planes[:0], (None, *[mask] * len(profile.ladder))
    for layer in range(len(profile.ladder)):
        plan, told = profile.plan(layer, quality), known_values(planes, profile, layer + 1, masks)
        region = mask.blocks if mask and layer else None
        body = coder.encode_layer(known, told[profile.channels_of(layer)], plan, 0, region)
        found.append(Seed(body, known, plan, region))
        known = told
    return found


def damaged(good: bytes, other: bytes, rng: random.Random) -> bytes:
    """A body with one to four errors."""
    data = bytearray(good)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            data[at : at + rng.randint(0, 8)] = rng.randbytes(rng.randint(0, 8))
        elif kind == 3:
            data[at:] = other[at:]
        elif kind == 4:
            data[at:at] = bytes([rng.choice((0, 255))]) * rng.randint(1, 64)
        else:
            data[:4] = rng.randbytes(4)
    return bytes(data)


def check(number: int, pool: list[Seed], twin: bool) -> bool:
    """Run one case; whether the damaged body was decoded nevertheless."""
    rng = random.Random(number)
    seed, other = rng.choice(pool), rng.choice(pool)
    body = damaged(seed.body, other.body, rng)
    first = outcome("c" if coder.accelerated else "twin", body, seed)
    if twin and coder.accelerated and outcome("twin", body, seed) != first:
        raise DisagreementError(f"case {number}: C and the twin differ")
    if isinstance(first, str):
        return False
    coded = np.frombuffer(first[0], np.int16).reshape(-1, *seed.known.shape[1:])
    if coder.encode_layer(seed.known, coded, seed.plan, first[1], seed.region) != body:
        raise DisagreementError(f"case {number}: accepted, but not what the encoder writes")
    return True


def outcome(implementation: str, body: bytes, seed: Seed) -> str | tuple[bytes, int]:
    """The message of the rejection, or the band's bytes and the check."""
    decode = coder.decode_in_c if implementation == "c" else stream.decode_layer
    try:
        band, found = decode(body, seed.known, seed.plan, seed.region)
    except PayloadError as error:
        return str(error)
    return band.tobytes(), found


def load_extension(path: Path) -> None:
    """Use another build of the C extension, for example one with sanitizers."""
    spec = importlib.util.spec_from_file_location("overtone.frequency._coder", path)
    if spec is None or spec.loader is None:
        raise typer.BadParameter(f"{path}: not an extension module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(coder)["_coder"] = module
    coder.accelerated = True


def main(
    count: Annotated[int, typer.Option(help="How many damaged payloads.")] = 1_000_000,
    start: Annotated[int, typer.Option(help="Number of the first case.")] = 0,
    twin_every: Annotated[
        int, typer.Option(help="Run the numpy twin, which is slow, on every n-th case.")
    ] = 1,
    extension: Annotated[Path | None, typer.Option(help="Another build of the C extension.")] = None,
) -> None:
    """Feed damaged payloads to both implementations."""
    if extension is not None:
        load_extension(extension)
    pool = seeds()
    begun, decoded, slowest, peak = time.monotonic(), 0, 0.0, 0
    for number in range(start, start + count):
        before = time.process_time()
        decoded += check(number, pool, number % twin_every == 0)
        slowest = max(slowest, time.process_time() - before)
        done = number - start + 1
        if done == min(1000, count):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if done % EVERY == 0 or done == count:
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
            print(
                f"{done:,} of {count:,} done (next --start {number + 1}), {decoded:,} decoded, slowest "
                f"{1e3 * slowest:.0f} ms, memory {grown:+,} kB, {time.monotonic() - begun:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    typer.run(main)
