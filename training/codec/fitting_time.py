"""An estimate of the time that fitting the entropy coder's tables will take."""

import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from overtone.frequency import Layer
from overtone.frequency.channels import HIGH, LOW
from overtone.frequency.tables import coded_channels
from overtone.training.codec.tables import TABLES_ON
from overtone.training.context_network import BATCH, Mixture, Observations, train
from overtone.training.table_fitting import OBSERVED, UNITS, kind_of, training_steps

# The numbers of neighbouring coefficients and of other inputs that a typical network reads.
_FEATURES, _OTHERS = 12, 8
_TIMED_STEPS: Final = 8
# Reading images and counting contexts makes the whole take longer than the training of networks, by this factor.
_BESIDE: Final = 1.6


def fitting_seconds(images: int, size: int, qualities: int, ladder: Sequence[Layer]) -> float:
    """Seconds that fitting tables to `images` images of `size` pixels should take, from a few steps on noise."""
    observations = min(images, TABLES_ON, OBSERVED) * qualities * (size // 8) ** 2
    seconds = {units: _seconds_a_step(units) for units in set(UNITS.values())}
    total = 0.0
    for number, layer in enumerate(ladder):
        at = coded_channels(ladder, number, len(LOW), len(LOW + HIGH))
        kind = kind_of(at, layer)
        total += len(at.band) * training_steps(kind, observations) * seconds[UNITS[kind]]
    return _BESIDE * total


def _seconds_a_step(units: int) -> float:
    noise = np.random.default_rng(0)
    seen = Observations(
        features=noise.normal(size=(BATCH, _FEATURES)).astype(np.float32),
        codes=noise.integers(-9, 9, (BATCH, _FEATURES), dtype=np.int8),
        others=noise.integers(0, 9, (BATCH, _OTHERS), dtype=np.int8),
        target=noise.integers(-3, 4, BATCH).astype(np.float32),
        centred=np.zeros(BATCH, np.float32),
        quality=np.zeros(BATCH, np.int64),
    )
    centre = np.full(_FEATURES, 1 / _FEATURES, np.float32)

    def once() -> float:
        started = time.perf_counter()
        train(seen, centre, units, Mixture(), False, _TIMED_STEPS, True)
        return time.perf_counter() - started

    # The first steps also allocate memory.
    once()
    return once() / _TIMED_STEPS
