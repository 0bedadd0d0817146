from pathlib import Path

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner

from overtone.benchmarks.codec.contexts import (
    BANDS,
    context_bits,
    fitted_profile,
    main,
    maps,
    quantised,
    static_bits,
)
from overtone.frequency import Profile, encode_values, read_header

STEPS = (64, 16)


@pytest.fixture(scope="module")
def walks() -> NDArray[np.float32]:
    """float32[12, 24, 6, 6]: random walks, so that neighbours tell much about a coefficient."""
    steps = np.random.default_rng(5).laplace(scale=30, size=(12, 24, 6, 6))
    return steps.cumsum(axis=2).cumsum(axis=3).astype(np.float32)


@pytest.fixture(scope="module")
def profile(walks: NDArray[np.float32]) -> Profile:
    return fitted_profile(walks[:8], STEPS, effort=0.05)


def test_a_static_table_takes_the_entropy_of_independent_symbols() -> None:
    coin = np.random.default_rng(0).integers(0, 2, (2, 20, 24, 8, 8)).astype(np.int16)
    coin[:, :, 7] = 0
    bits = static_bits(*coin)
    assert bits[8] == pytest.approx(64, rel=0.03)
    assert bits[7] < 1


def test_context_bits_are_those_of_the_payloads(walks: NDArray[np.float32], profile: Profile) -> None:
    for quality, step in enumerate(STEPS, 1):
        for planes in quantised(walks[8:], step):
            sent, bits = encode_values(planes, profile, quality), context_bits(planes[None], profile, quality)
            for payload, numbers in zip(sent.layers, BANDS.values(), strict=True):
                body = 8 * (len(payload) - read_header(payload, 2).length)
                assert 15 <= body - bits[numbers].sum() < 33


def test_contexts_use_what_static_tables_cannot(walks: NDArray[np.float32], profile: Profile) -> None:
    held_out = quantised(walks[8:], STEPS[0])
    static = static_bits(quantised(walks[:8], STEPS[0]), held_out)
    assert context_bits(held_out, profile, 1).sum() < 0.9 * static.sum()


def test_the_same_images_are_drawn_every_time(picture_folder: Path) -> None:
    paths = sorted((picture_folder / "train").rglob("*.jpg"))
    found = maps(paths, 32, 5)
    assert found.shape == (5, 24, 4, 4)
    assert (found == maps(paths, 32, 5)).all()


def test_the_table_has_a_row_for_every_step_and_band(picture_folder: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    options = [
        "--size",
        "32",
        "--steps",
        "16,64",
        "--fitted",
        "3",
        "--measured",
        "2",
        "--channels",
        "--effort",
        "0.02",
    ]
    found = CliRunner().invoke(app, ["--data", str(picture_folder), *options])
    assert found.exit_code == 0, found.output
    rows = [line.split("│")[1:3] for line in found.output.splitlines() if line.startswith("│")]
    named = [tuple(cell.strip() for cell in row) for row in rows]
    assert named[:4] == [("64", "low"), ("64", "high"), ("16", "low"), ("16", "high")]
    assert len(named) == 4 + 2 * 24
