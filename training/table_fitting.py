"""Fitting the entropy coder's tables to sample images.

For each layer and channel a network is trained (see `context_network`) and rounded to integers. Then the numbers of
each context are counted, with the integers, and in the end all contexts of a layer share a bank of tables. Floats are
used here only; device and server work with integers.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overtone.frequency.channels import DC
from overtone.frequency.coding_plan import ChannelPlan
from overtone.frequency.context import (
    LEVELS,
    activity_code,
    column_codes,
    context,
    contexts,
    features,
    map_residual,
    row_codes,
    signed_code,
)
from overtone.frequency.features import ONE, activity, code, code_of, predicted
from overtone.frequency.frequency_tables import MAX_LENGTH, Counts
from overtone.frequency.ladder import NEST, TWO_LAYERS, Layer, coarsened
from overtone.frequency.network import LETTERS, write_weights
from overtone.frequency.tables import (
    EMPTY_BITS,
    MAX_CENTRE,
    CodedChannels,
    LayerTables,
    Network,
    Tables,
    coded_channels,
)
from overtone.training.context_network import BATCH, Mixture, Observations, rounded, train
from overtone.training.progress import tracked
from overtone.training.table_bank import fit_bank
from overtone.training.table_regression import centre_weights
from overtone.training.tap_choice import activities, taps

Ints = tuple[int, ...]
Planes = NDArray[np.int16]

UNITS: Final = {"low": 32, "high": 16, "refined": 16}
STEPS: Final = {"low": 2500, "high": 1500, "refined": 2000}
# With few images, training ends after so many passes over them.
MOST_EPOCHS: Final = 6
FEWEST_STEPS: Final = 10
OBSERVED: Final = 120  # images for each quality that networks are trained on
COUNTED: Final = 120  # images for each quality that tables are counted on
_REGRESSED: Final = 60_000
_SIZE: Final = 1024  # size of a histogram; larger numbers count as its last one


def fit_tables(
    samples: Sequence[Planes],
    steps: Sequence[Sequence[int]],
    low_channels: Sequence[int],
    high_channels: Sequence[int],
    ladder: Sequence[Layer] = TWO_LAYERS,
    effort: float = 1.0,
) -> Tables:
    """Tables that serve all qualities, from quantised sample images.

    Args:
        samples: for each quality, int16[N, C, h, w], low channels and then high ones, quantised with its steps.
        steps: for each quality, the C steps.
        low_channels: the channel indices of low.
        high_channels: the channel indices of high.
        ladder: the layers to be coded.
        effort: multiplies how long networks are trained.

    Raises:
        ValueError: a sample or a row of steps has another shape.
    """
    channels = (*low_channels, *high_channels)
    if not samples or any(s.ndim != 4 or s.shape[1] != len(channels) or not s.size for s in samples):
        raise ValueError(f"need int16[N, {len(channels)}, h, w] with N >= 1 for each quality")
    if len(steps) != len(samples) or any(len(row) != len(channels) for row in steps):
        raise ValueError(f"need a row of {len(channels)} steps for each of {len(samples)} qualities")
    fits = [
        _LayerFit(samples, [tuple(map(int, row)) for row in steps], channels, len(low_channels), ladder, n)
        for n in range(len(ladder))
    ]
    work = [(fit, index) for fit in fits for index in fit.order]
    for fit, index in tracked(work, "fitting networks"):
        fit.fit_network(index, effort)
    return Tables(tuple(fit.tables() for fit in tracked(fits, "counting tables")))


def kind_of(at: CodedChannels, layer: Layer) -> str:
    """The kind of a layer: `low` or `high` if it codes a band for the first time, otherwise `refined`."""
    return "refined" if at.refines else layer.band


def training_steps(kind: str, observations: int, effort: float = 1.0) -> int:
    """Steps that the network of a channel is trained for."""
    enough = MOST_EPOCHS * observations / BATCH
    return max(1, round(max(FEWEST_STEPS, min(STEPS[kind], enough)) * effort))


class _LayerFit:
    """The networks and tables of one layer while they are fitted, channel by channel."""

    def __init__(
        self,
        samples: Sequence[Planes],
        steps: Sequence[Ints],
        channels: Ints,
        split: int,
        ladder: Sequence[Layer],
        number: int,
    ) -> None:
        self.samples, self.steps, self.channels = samples, steps, channels
        self.dc = tuple(c in DC for c in channels)
        self.at, self.before = coded_channels(ladder, number, split, len(channels)), None
        if number:
            self.before = coded_channels(ladder, number - 1, split, len(channels))
        self.kind = kind_of(self.at, ladder[number])
        self.mixture = Mixture()
        self.networks: dict[int, Network] = {}
        # The mixture is learned together with the first network, so a typical one comes first.
        self.order = sorted(
            range(len(self.at.band)), key=lambda index: index != min(1, len(self.at.band) - 1)
        )

    def fit_network(self, index: int, effort: float) -> None:
        """Train one channel's network."""
        number = self.at.band[index]
        chosen = taps(self.channels, number, self.at)
        blank = Network(
            taps=tuple(x for tap in chosen for x in tap),
            centre=(0,) * len(chosen),
            globals=activities(self.channels, number, self.at),
            bias=(0,) * 8,
            hidden="",
            output="",
            output_bias=(0, 5 * 256, ONE),
        )
        blank = replace(
            blank,
            hidden=write_weights(np.zeros(blank.inputs * 8, int)),
            output=write_weights(np.zeros(24, int)),
        )
        seen = self._observe(index, blank)
        if seen is None:
            self.networks[index] = blank
            return
        stride = max(1, len(seen.target) // _REGRESSED)
        centre = centre_weights(seen.features[::stride], (seen.target + seen.centred)[::stride])
        count = training_steps(self.kind, len(seen.target), effort)
        network = train(
            seen, centre, UNITS[self.kind], self.mixture, self.at.refines, count, index == self.order[0]
        )
        weights = (256 * network.centre.detach().numpy()).round().clip(-MAX_CENTRE, MAX_CENTRE).astype(int)
        self.networks[index] = replace(blank, centre=tuple(weights.tolist()), **rounded(network))

    def tables(self) -> LayerTables:
        """The layer's tables, once all networks are trained."""
        networks = tuple(self.networks[index] for index in range(len(self.at.band)))
        filled = _filled(self._count(networks), contexts(self.at.refines))
        bank, chosen = fit_bank(filled, length=NEST if self.at.refines else None)
        letters = "".join(LETTERS[i] for i in chosen)
        return LayerTables(bank, letters, networks, tuple(self._empty(q) for q in range(len(self.steps))))

    def _views(self, quality: int, index: int, most: int) -> tuple[Planes, Planes | None, Planes]:
        """Up to `most` images in which a channel is not empty: all planes, the channel's coarse values, its values."""
        sample = self.samples[quality]
        sample = sample[:: max(1, len(sample) // most)][:most]
        known, values = self._known(sample), self._values(sample, self.at)
        own, band = values[:, index], slice(self.at.band.start, self.at.band.stop)
        planes = np.zeros((len(sample), len(self.at.factors), *sample.shape[2:]), np.int16)
        planes[:, : self.at.known] = known
        planes[:, band] *= np.int16(NEST)
        coarse = planes[:, band][:, index].copy()
        planes[:, band][:, :index] = values[:, :index]
        planes[:, band][:, index] = own
        coded = (own != coarse).any(axis=(1, 2))
        return planes[coded], coarse[coded] if self.at.refines else None, own[coded]

    def _known(self, sample: Planes) -> Planes:
        found = sample[:, : self.at.known].copy()
        for number, factor in enumerate(self.before.factors if self.before else ()):
            found[:, number] = coarsened(sample[:, number], factor)
        return found

    def _values(self, sample: Planes, at: CodedChannels) -> Planes:
        return coarsened(sample[:, at.band.start : at.band.stop], at.factors[at.band.start])

    def _units(self, quality: int) -> Ints:
        return tuple(s * f for s, f in zip(self.steps[quality], self.at.factors, strict=False))

    def _observe(self, index: int, blank: Network) -> Observations | None:
        found = []
        for quality in range(len(self.steps)):
            planes, coarse, own = self._views(quality, index, OBSERVED)
            if len(own):
                plan = blank.plan(self.at.band[index], self._units(quality), 1)
                found.append(self._observations(planes, coarse, own, plan, index, quality))
        if not found:
            return None
        names = Observations.__dataclass_fields__
        return Observations(**{n: np.concatenate([getattr(f, n) for f in found]) for n in names})

    def _observations(
        self, planes: Planes, coarse: Planes | None, own: Planes, plan: ChannelPlan, index: int, quality: int
    ) -> Observations:
        number, dc = self.at.band[index], self.dc
        read = features(planes, number, plan, dc, coarse)
        ratios = [plan.ratios[source] for source, _ in plan.taps]
        base = predicted(own) if coarse is None and dc[number] else np.zeros(own.shape, np.int64)
        if coarse is not None:
            base = coarse.astype(np.int64)
        centred = base if coarse is not None and not dc[number] else np.zeros_like(base)
        return Observations(
            features=np.stack(
                [(f * (r / ONE)).astype(np.float32).ravel() for f, r in zip(read, ratios, strict=True)], -1
            ),
            codes=np.stack(
                [signed_code(f, r).ravel().astype(np.int8) for f, r in zip(read, ratios, strict=True)], -1
            ),
            others=self._others(planes, coarse, own, plan, number, self._units(quality)[number]),
            target=(own - base).ravel().astype(np.float32),
            centred=centred.ravel().astype(np.float32),
            quality=np.full(own.size, quality, np.int64),
        )

    def _others(
        self, planes: Planes, coarse: Planes | None, own: Planes, plan: ChannelPlan, number: int, unit: int
    ) -> NDArray[np.int8]:
        count, height, width = own.shape
        above = np.zeros((count, height), np.int64)
        if coarse is None:
            before = np.cumsum(activity(own, self.dc[number]), axis=-1)[:, :-1]
            above[:, 1:] = code(ONE * before // (width * np.arange(1, height)))
        columns = [
            np.full((1, 1, 1), code_of(unit << 10)),
            row_codes(height)[None, :, None],
            column_codes(width)[None, None, :],
            above[:, :, None],
        ]
        for source in plan.globals:
            plane = coarse if source == number and coarse is not None else planes[:, source]
            columns.append(activity_code(plane, plan.ratios[source], self.dc[source])[:, None, None])
        return np.stack([np.broadcast_to(c, own.shape).ravel().astype(np.int8) for c in columns], -1)

    def _count(self, networks: Sequence[Network]) -> Counts:
        """Histograms of the numbers of all contexts: float64[contexts, numbers]."""
        size = contexts(self.at.refines)
        counts = np.zeros(size * _SIZE)
        for quality in range(len(self.steps)):
            for index, network in enumerate(networks):
                planes, coarse, own = self._views(quality, index, COUNTED)
                plan = network.plan(self.at.band[index], self._units(quality), 1)
                for at in range(0, len(own), 20):
                    part = slice(at, at + 20)
                    base = None if coarse is None else coarse[part]
                    known = context(planes[part], self.at.band[index], plan, self.dc, base)
                    numbers = np.minimum(map_residual(own[part], known), _SIZE - 1)
                    counts += np.bincount((known.number * _SIZE + numbers).ravel(), minlength=size * _SIZE)
        return counts.reshape(size, _SIZE)

    def _empty(self, quality: int) -> Ints:
        """The share of images, in 256ths, in which the layer codes nothing of each channel."""
        sample = self.samples[quality]
        values: NDArray[np.integer] = self._values(sample, self.at)
        if self.at.refines:
            coarse = self._known(sample)[:, self.at.band.start : self.at.band.stop] * np.int16(NEST)
            values = values - coarse
        share = (~values.any(axis=(2, 3))).mean(axis=0) * (1 << EMPTY_BITS)
        return tuple(max(1, min((1 << EMPTY_BITS) - 1, round(float(s)))) for s in share)


def _filled(histograms: Counts, count: int) -> Counts:
    """The histograms with half an observation more in each context, spread as in all contexts of its spread level.

    A context that was hardly ever seen then gets a plausible table.
    """
    levels = np.arange(count) // (count // LEVELS)
    pools = np.stack([histograms[levels == level].sum(axis=0) for level in range(LEVELS)])
    pools += 1e-3 * pools.sum(axis=0) / max(1.0, pools.sum()) + 1e-6 * (np.arange(_SIZE) < MAX_LENGTH)
    filled: Counts = histograms + 0.5 * (pools / pools.sum(axis=1, keepdims=True))[levels]
    return filled
