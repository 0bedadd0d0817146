"""Tables of the entropy coder, fitted to training images."""

from collections.abc import Sequence

import numpy as np

from overtone.frequency import Tables, coefficients, fit, open_rgb, quantise
from overtone.frequency.quantise import PLAIN
from overtone.training.data import Images
from overtone.training.progress import tracked
from overtone.training.table_fitting import fit_tables

TABLES_ON = 600


def tables_for(
    images: Images,
    size: int,
    steps: Sequence[Sequence[int]],
    low: tuple[int, ...],
    high: tuple[int, ...],
    thresholds: Sequence[int] = (),
) -> Tables:
    """Tables for these channels, steps (a row per quality) and thresholds, counted on up to 600 images."""
    some = images.spread(TABLES_ON)
    samples = [np.empty((len(some), len(low + high), size // 8, size // 8), np.int16) for _ in steps]
    for number, path in enumerate(tracked(some.paths, "counting symbols")):
        found = coefficients(fit(open_rgb(path), size), low + high)
        for quality, (sample, row) in enumerate(zip(samples, steps, strict=True)):
            sample[number] = quantise(found, row, thresholds[quality] / 100 if thresholds else PLAIN)
    middle = len(low)
    return fit_tables([(s[:, :middle], s[:, middle:]) for s in samples], steps, low, high)
