"""Tables: the parameters of the entropy coder that were fitted to images, as integers in the profile."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

import numpy as np

from overtone.frequency.channels import DC
from overtone.frequency.coding_plan import ChannelPlan, CodingPlan
from overtone.frequency.context import contexts
from overtone.frequency.errors import ProfileError
from overtone.frequency.features import CAUSAL_PLACES, MAX_RATIO, PLACES, Tap, code_of
from overtone.frequency.frequency_tables import BITS, MAX_LENGTH, MAX_TABLES, MIN_LENGTH, TOTAL, Table
from overtone.frequency.ladder import NEST, Layer
from overtone.frequency.network import LETTERS, MAX_BIAS, MAX_UNITS, OUTPUTS, UNIT, read_weights

Ints = tuple[int, ...]

EMPTY_BITS: Final = 8
MAX_TAPS: Final = 64
MAX_GLOBALS: Final = 32
MAX_CENTRE: Final = 1 << 12
_MAX_SCALED: Final = 1 << 20


@dataclass(frozen=True)
class Network:
    """The network that predicts one channel of one layer; `context` explains its parts.

    Attributes:
        taps: pairs (plane, place) one after another.
        centre: for each tap, its weight in 256ths. It applies to coefficients, not to multiples of a step, so that
            one set serves all qualities.
        globals: planes whose mean activity in the image is read.
        bias: for each of the H hidden units.
        hidden: H letters, each a weight (see `network`), for each input of the hidden units: positive and negative
            features, tap by tap; a positive and a negative centre; the code of the channel's unit; row; column;
            activity of the rows above; the activities of `globals`.
        output: H letters for each of shift, spread and shape.
        output_bias: of shift, spread and shape.
    """

    taps: Ints
    centre: Ints
    globals: Ints
    bias: Ints
    hidden: str
    output: str
    output_bias: Ints

    @property
    def inputs(self) -> int:
        """The number of inputs of a hidden unit."""
        return len(self.taps) + 2 + 4 + len(self.globals)

    def plan(self, number: int, units: Ints, empty: int) -> ChannelPlan:
        """The channel's plan for planes with these units, that is, steps times factors."""
        own, count, taps = units[number], len(self.bias), len(self.taps) // 2
        ratios = tuple(max(1, min(MAX_RATIO, 1024 * unit // own)) for unit in units)
        hidden = read_weights(self.hidden, count)
        after = hidden[2 * taps :]
        pairs = tuple(Tap(*self.taps[at : at + 2]) for at in range(0, 2 * taps, 2))
        step = code_of(own << 10) * after[2].astype(np.int64)
        return ChannelPlan(
            empty=empty << BITS - EMPTY_BITS,
            ratios=ratios,
            taps=pairs,
            centre=tuple(_scaled(w, units[t.source], own) for w, t in zip(self.centre, pairs, strict=True)),
            globals=self.globals,
            bias=(np.array(self.bias, np.int64) + step).astype(np.int16),
            tap_weights=hidden[: 2 * taps].reshape(taps, 2, count),
            centre_weights=after[:2],
            other_weights=after[3:],
            output_weights=read_weights(self.output, count) // UNIT,
            output_bias=self.output_bias,
        )


@dataclass(frozen=True)
class LayerTables:
    """The tables of one layer of the ladder.

    Attributes:
        bank: the frequency tables.
        contexts: a letter for each context, which names its table in the bank.
        networks: for each channel that the layer codes.
        empty: for each quality and channel, the probability that the layer codes nothing of the channel, in 256ths.
    """

    bank: tuple[Table, ...]
    contexts: str
    networks: tuple[Network, ...]
    empty: tuple[Ints, ...]


@dataclass(frozen=True)
class Tables:
    """The tables of each layer of a ladder. The names of fields are keys of the profile's JSON."""

    layers: tuple[LayerTables, ...]

    @classmethod
    def from_json(cls, parsed: Any) -> Self:
        """Tables from parsed JSON whose lists have been made tuples; they are checked by `check` only.

        Raises:
            ProfileError: a key is missing or unknown.
        """
        layers = _object(Tables, parsed)["layers"]
        _require(isinstance(layers, tuple), "layers: a list")
        found = []
        for layer in layers:
            values = _object(LayerTables, layer)
            _require(isinstance(values["networks"], tuple), "networks: a list")
            networks = tuple(Network(**_object(Network, network)) for network in values["networks"])
            found.append(LayerTables(**values | {"networks": networks}))
        return cls(tuple(found))

    def to_json(self) -> dict[str, Any]:
        """The tables as an object for `json`."""
        return asdict(self)

    def check(
        self, channels: Ints, split: int, ladder: Sequence[Layer], qualities: int, part: bool = False
    ) -> None:
        """Check every number against these channels, of which the first `split` are low ones.

        A part of a profile may have the first layers only.

        Raises:
            ProfileError: a number is missing or out of bounds.
        """
        least = 1 if part else len(ladder)
        good = isinstance(self.layers, tuple) and least <= len(self.layers) <= len(ladder)
        _require(good, "layers: need one for each layer of the ladder")
        for number, layer in enumerate(self.layers):
            _require(isinstance(layer, LayerTables), "layers: not tables")
            _check_layer(layer, coded_channels(ladder, number, split, len(channels)), qualities)

    def plan(
        self, channels: Ints, split: int, ladder: Sequence[Layer], number: int, steps: Ints, quality: int
    ) -> CodingPlan:
        """The coding plan of a layer; `steps` are those of all channels, `quality` is an index from 0 on."""
        layer, at = self.layers[number], coded_channels(ladder, number, split, len(channels))
        units = tuple(step * factor for step, factor in zip(steps, at.factors, strict=False))
        empty = layer.empty[quality]
        return CodingPlan(
            first=at.band.start,
            known=at.known,
            refines=at.refines,
            dc=tuple(c in DC for c in channels[: len(units)]),
            channels=tuple(
                network.plan(c, units, e)
                for network, c, e in zip(layer.networks, at.band, empty, strict=True)
            ),
            contexts=tuple(LETTERS.index(letter) for letter in layer.contexts),
            bank=layer.bank,
        )


@dataclass(frozen=True)
class CodedChannels:
    """The channels that a layer codes, among the planes that are known after it.

    Attributes:
        band: the numbers of the channels that it codes.
        known: how many planes are known before.
        refines: whether its channels are among these.
        factors: the factors of all planes after the layer.
    """

    band: range
    known: int
    refines: bool
    factors: Ints


def coded_channels(ladder: Sequence[Layer], number: int, split: int, count: int) -> CodedChannels:
    """The channels that layer `number` of a ladder codes, for `split` low channels of `count`."""
    layer = ladder[number]
    before: dict[str, int] = dict(ladder[:number])
    after = before | {layer.band: layer.factor}
    factors = (after["low"],) * split + (after.get("high", 0),) * (count - split if "high" in after else 0)
    known = (count if "high" in before else split) if before else 0
    band = range(split) if layer.band == "low" else range(split, count)
    return CodedChannels(band, known, layer.band in before, factors)


def _check_layer(layer: LayerTables, at: CodedChannels, qualities: int) -> None:
    _check_bank(layer.bank, at.refines)
    good = _is_letters(layer.contexts, contexts(at.refines))
    good = good and max(map(LETTERS.index, layer.contexts)) < len(layer.bank)
    _require(good, f"contexts: {contexts(at.refines)} letters, each of a table in the bank")
    count = len(at.band)
    _require(_is_tuple(layer.networks) and len(layer.networks) == count, f"networks: need {count}")
    for number, network in zip(at.band, layer.networks, strict=True):
        _check_network(network, number, at)
    good = _is_tuple(layer.empty) and len(layer.empty) == qualities
    good = good and all(_ints(row, 1, (1 << EMPTY_BITS) - 1) and len(row) == count for row in layer.empty)
    _require(good, f"empty: one row per quality, 1 to {(1 << EMPTY_BITS) - 1} per channel")


def _check_bank(bank: object, refines: bool) -> None:
    _require(isinstance(bank, tuple) and 1 <= len(bank) <= MAX_TABLES, f"bank: 1 to {MAX_TABLES} tables")
    least, most = (NEST, NEST) if refines else (MIN_LENGTH, MAX_LENGTH)
    for table in bank if isinstance(bank, tuple) else ():
        good = _ints(table, 1, TOTAL) and least <= len(table) <= most and sum(table) == TOTAL
        _require(good, f"bank: {least} to {most} positive integers each, summing to {TOTAL}")


def _check_network(network: Network, number: int, at: CodedChannels) -> None:
    good = isinstance(network, Network) and all(map(_is_tuple, (network.taps, network.globals)))
    _require(good, "networks: not a network")
    flat = network.taps
    good = len(flat) % 2 == 0 and len(flat) <= 2 * MAX_TAPS
    good = good and all(
        _good_tap(source, place, number, at) for source, place in zip(flat[::2], flat[1::2], strict=True)
    )
    _require(good, f"taps: pairs of a plane and a place that are known, at most {MAX_TAPS}")
    good = _all_ints(network.centre, -MAX_CENTRE, MAX_CENTRE) and 2 * len(network.centre) == len(flat)
    _require(good, f"centre: need one from {-MAX_CENTRE} to {MAX_CENTRE} for each tap")
    good = len(network.globals) <= MAX_GLOBALS and all(_is_readable(g, number, at) for g in network.globals)
    _require(good, f"globals: planes that are known, at most {MAX_GLOBALS}")
    units = len(network.bias) if _ints(network.bias, -MAX_BIAS, MAX_BIAS) else 0
    _require(0 < units <= MAX_UNITS and units % 8 == 0, f"bias: one for each of 8, 16, ... {MAX_UNITS} units")
    _require(_is_letters(network.hidden, network.inputs * units), "hidden: need a weight per input and unit")
    _require(_is_letters(network.output, OUTPUTS * units), f"output: need {OUTPUTS} weights per unit")
    good = _ints(network.output_bias, -MAX_BIAS, MAX_BIAS) and len(network.output_bias) == OUTPUTS
    _require(good, f"output_bias: need {OUTPUTS}")


def _good_tap(source: object, place: object, number: int, at: CodedChannels) -> bool:
    causal = source == number and not at.refines
    places = CAUSAL_PLACES if causal else len(PLACES)
    return _is_int(place, 0, places - 1) and (causal or _is_readable(source, number, at))


def _is_readable(source: object, number: int, at: CodedChannels) -> bool:
    """Whether a plane is known everywhere when a channel is coded."""
    return _is_int(source, 0, max(number, at.known) - 1)


def _scaled(weight: int, unit: int, own: int) -> int:
    """A weight in 256ths of coefficients as a weight in 1024ths of a step of quantised coefficients."""
    return max(-_MAX_SCALED, min(_MAX_SCALED, (weight * unit * 4 + own // 2) // own))


def _object(of: type, parsed: Any) -> dict[str, Any]:
    names = {f.name for f in fields(of)}
    if not isinstance(parsed, dict) or parsed.keys() != names:
        raise ProfileError(f"tables: an object with exactly the keys {sorted(names)}")
    return parsed


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ProfileError(f"bad profile: tables: {message}")


def _is_tuple(value: object) -> bool:
    return isinstance(value, tuple)


def _is_letters(value: object, count: int) -> bool:
    return isinstance(value, str) and len(value) == count and set(value) <= set(LETTERS)


def _is_int(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _all_ints(value: object, least: int, most: int) -> bool:
    return isinstance(value, tuple) and all(_is_int(v, least, most) for v in value)


def _ints(value: object, least: int, most: int) -> bool:
    return _all_ints(value, least, most) and bool(value)
