"""Tables of the entropy coder, fitted to training images."""

from collections.abc import Sequence

import numpy as np

from overtone.frequency import TWO_LAYERS, Layer, Tables, coefficients, fit, open_rgb, quantise
from overtone.frequency.quantise import PLAIN
from overtone.training.data import Images, View
from overtone.training.progress import tracked
from overtone.training.table_fitting import fit_tables

TABLES_ON = 240


def tables_for(
    images: Images,
    size: int,
    steps: Sequence[Sequence[int]],
    low: tuple[int, ...],
    high: tuple[int, ...],
    thresholds: Sequence[int] = (),
    ladder: Sequence[Layer] = TWO_LAYERS,
    effort: float = 1.0,
    view: View = fit,
) -> Tables:
    """Tables for these channels, steps (a row per quality), thresholds and ladder, fitted to up to 240 images.

    `effort` multiplies how long networks are trained; `view` prepares an image as a device does.
    """
    images = images.spread(TABLES_ON)
    samples = [np.empty((len(images), len(low + high), size // 8, size // 8), np.int16) for _ in steps]
    for number, path in enumerate(tracked(images.paths, "counting symbols")):
        exact = coefficients(view(open_rgb(path), size), low + high)
        for quality, (sample, row) in enumerate(zip(samples, steps, strict=True)):
            sample[number] = quantise(exact, row, thresholds[quality] / 100 if thresholds else PLAIN)
    return fit_tables(samples, steps, low, high, ladder, effort)
