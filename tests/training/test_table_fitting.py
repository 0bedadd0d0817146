"""Tables fitted to samples: what they have learned, and what they save."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from overtone.frequency import THREE_LAYERS, TWO_LAYERS, Layer, Profile, Tables, decode, encode_values
from overtone.frequency.channels import HIGH, LOW
from overtone.frequency.features import Tap
from overtone.frequency.frequency_tables import code_lengths
from overtone.training.table_bank import fit_bank
from overtone.training.table_fitting import fit_tables

FAST = 0.1


def laplacian(seed: int, shape: tuple[int, ...], scale: float) -> NDArray[np.int16]:
    return np.rint(np.random.default_rng(seed).laplace(scale=scale, size=shape)).astype(np.int16)


def fitted(
    sample: NDArray[np.int16],
    low: tuple[int, ...],
    high: tuple[int, ...],
    ladder: tuple[Layer, ...] = TWO_LAYERS,
    effort: float = FAST,
) -> Profile:
    """A profile of one quality with tables fitted to int16[N, C, h, w]."""
    p = Profile.uniform(["a"], size=8 * sample.shape[-1], steps=(16,), low=low, high=high, ladder=ladder)
    return replace(p, tables=fit_tables([sample], p.steps, low, high, ladder, effort))


def ideal_bytes(band: NDArray[np.int16]) -> float:
    """The empirical entropy of every channel's values, which no table without contexts can beat."""
    total = 0.0
    for plane in band:
        counts = np.unique(plane, return_counts=True)[1]
        total -= float((counts * np.log2(counts / plane.size)).sum()) / 8
    return total


def test_a_channel_that_follows_another_is_expected_there() -> None:
    sample = laplacian(1, (20, 3, 28, 28), 5)
    sample[:, 1] = 3 * sample[:, 0]
    p = fitted(sample[1:], (1, 2), (3,))
    weights = dict(zip(p.plan(0, 1).channels[1].taps, p.tables.layers[0].networks[1].centre, strict=True))
    assert weights[Tap(0, 12)] == pytest.approx(3 * 256, rel=0.05)
    alone = replace(
        p, low=(1,), high=(2, 3), tables=fit_tables([sample[1:]], p.steps, (1,), (2, 3), effort=FAST)
    )
    assert len(encode_values(sample[0], alone, 1).layers[0]) + 60 > len(
        encode_values(sample[0], p, 1).layers[0]
    )


def test_empty_channels_are_counted_per_quality() -> None:
    full, empty = laplacian(5, (8, 1, 6, 6), 9), np.zeros((8, 1, 6, 6), np.int16)
    half = np.concatenate([full[:4], empty[:4]])
    samples = [np.concatenate([full, other], axis=1) for other in (empty, half)]
    tables = fit_tables(samples, [[32] * 2, [16] * 2], (0,), (1,), effort=0)
    assert [layer.empty for layer in tables.layers] == [((1,), (1,)), ((255,), (128,))]


def test_fitting_twice_gives_the_same() -> None:
    sample = laplacian(7, (3, 4, 9, 9), 4)
    once, again = (fit_tables([sample.copy()], [[9] * 4], (0, 1), (2, 3), effort=0) for _ in range(2))
    assert once == again


def test_a_sample_of_the_wrong_shape_is_refused() -> None:
    sample = laplacian(9, (3, 4, 9, 9), 4)
    for bad in ([sample[:0]], [sample[:, :3]], [sample[0]], []):
        with pytest.raises(ValueError, match="N >= 1"):
            fit_tables(bad, [[9] * 4], (0, 1), (2, 3))
    with pytest.raises(ValueError, match="a row of 4 steps"):
        fit_tables([sample], [[9] * 3], (0, 1), (2, 3))


def test_size_is_near_the_entropy_where_contexts_say_nothing() -> None:
    scales = np.linspace(4, 0.5, 6)[:, None, None]
    sample = np.stack([np.rint(laplacian(s, (6, 28, 28), 100) / 100 * scales) for s in range(40)])
    sample = sample.astype(np.int16)
    p = fitted(sample[1:], (1, 8), (20, 21, 22, 23))
    for payload, band in zip(
        encode_values(sample[0], p, 1).layers, (sample[0, :2], sample[0, 2:]), strict=True
    ):
        assert ideal_bytes(band) < len(payload) < 1.06 * ideal_bytes(band) + 16


def test_contexts_find_what_neighbours_and_other_channels_say() -> None:
    rng = np.random.default_rng(8)
    loud = rng.choice([0.2, 6.0], size=(30, 1, 14, 14))
    loud = np.repeat(np.repeat(loud, 2, axis=2), 2, axis=3)
    sample = np.rint(rng.laplace(scale=1, size=(30, 6, 28, 28)) * loud).astype(np.int16)
    sample[:, 5] = -sample[:, 3]
    p = fitted(sample[1:], (1, 8), (2, 3, 10, 11))
    assert len(encode_values(sample[0], p, 1).layers[1]) < 0.9 * ideal_bytes(sample[0, 2:])


def test_layers_of_a_ladder_cost_little_more_than_one_piece() -> None:
    sample = laplacian(11, (40, 2, 28, 28), 3)
    one = fitted(sample[1:], (1,), (2,), effort=0.2)
    three = fitted(sample[1:], (1,), (2,), THREE_LAYERS, effort=0.2)
    sent = encode_values(sample[0], three, 1)
    assert (decode(sent.layers, three).values == sample[0]).all()
    coarse, fine = map(len, sent.layers[:2])
    assert min(coarse, fine) > 150
    assert coarse + fine < 1.05 * len(encode_values(sample[0], one, 1).layers[0]) + 8


def test_fitted_to_empty_images_they_cost_next_to_nothing() -> None:
    empty = np.zeros((1, 24, 28, 28), np.int16)
    p = fitted(empty, LOW, HIGH, THREE_LAYERS)
    assert max(map(len, encode_values(empty[0], p, 1).layers)) < 20
    assert isinstance(p.tables, Tables)


def test_a_bank_keeps_apart_what_differs_and_joins_what_is_alike() -> None:
    rng = np.random.default_rng(0)
    laws = [np.array([0.9, 0.05, 0.05] + [0] * 61), np.full(64, 1 / 64)]
    histograms = np.stack([rng.multinomial(5000, laws[i % 2]) for i in range(12)]).astype(float)
    bank, chosen = fit_bank(histograms, tables=2)
    assert len(bank) == 2
    assert len(set(chosen[::2])) == len(set(chosen[1::2])) == 1
    assert chosen[0] != chosen[1]


def test_tables_of_refinements_have_three_numbers() -> None:
    rng = np.random.default_rng(2)
    histograms = rng.multinomial(900, [0.5, 0.3, 0.2], 9).astype(float)
    bank, chosen = fit_bank(np.pad(histograms, ((0, 0), (0, 40))), tables=3, length=3)
    assert {len(table) for table in bank} == {3}
    assert bank[chosen[0]][0] == pytest.approx(8192, rel=0.2)


def test_more_tables_cost_no_more_bits() -> None:
    rng = np.random.default_rng(1)
    histograms = np.stack([np.bincount(rng.geometric(p, 2000), minlength=200)[:200] for p in rng.random(40)])

    def cost(tables: int) -> float:
        bank, chosen = fit_bank(histograms.astype(float), tables)
        assert len(bank) <= tables
        return float(sum(h @ code_lengths(bank[i], 200) for h, i in zip(histograms, chosen, strict=True)))

    assert cost(16) < cost(4) < cost(1)
