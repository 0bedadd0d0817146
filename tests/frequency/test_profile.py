import json
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from overtone.frequency import Layer, Profile, ProfileError, Tables
from overtone.frequency.profile import MAX_JSON

PROFILE = Profile.uniform(["tench", "Ölfaß", "犬"], size=64, steps=(48, 16))


def changed(**fields: Any) -> str:
    return json.dumps(json.loads(PROFILE.to_json()) | fields)


def test_round_trip_as_json_and_packed() -> None:
    for again in (
        Profile.from_json(PROFILE.to_json()),
        Profile.from_json(PROFILE.to_json().encode()),
        Profile.from_json(json.dumps(json.loads(PROFILE.to_json()), indent=2)),
        Profile.unpack(PROFILE.pack()),
    ):
        assert again == PROFILE
        assert again.id == PROFILE.id


def test_json_is_canonical() -> None:
    text = PROFILE.to_json()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert "犬" in text
    assert list(json.loads(text)) == sorted(json.loads(text))


def test_the_id_is_frozen() -> None:
    # Devices in the field know profiles by this: a change of the JSON is a change of the protocol.
    assert PROFILE.id.hex() == "718acd2d"


def test_the_id_names_every_field() -> None:
    others = [
        replace(PROFILE, name="other"),
        replace(PROFILE, size=72),
        replace(PROFILE, quality=1),
        replace(PROFILE, labels=("a",)),
        replace(PROFILE, steps=((47,) * 24, (16,) * 24)),
    ]
    assert len({PROFILE.id, *(o.id for o in others)}) == 6
    assert len(PROFILE.id) == 4


def test_steps_and_tables_are_split_by_band() -> None:
    ramp = tuple(range(1, 25))
    p = replace(PROFILE, steps=(ramp, ramp))
    assert p.low_steps(1).dtype == p.known_steps(2, 2).dtype == np.float32
    assert p.low_steps(1).tolist() == list(ramp)[: len(p.low)]
    assert p.known_steps(2, 2).tolist() == list(ramp)
    assert p.blocks == 8


def test_plans_are_those_of_layers_and_kept() -> None:
    low, high = PROFILE.plan(0, 2), PROFILE.plan(1, 2)
    assert (low.first, low.known, low.refines, len(low.channels)) == (0, 0, False, 6)
    assert (high.first, high.known, high.refines, len(high.channels)) == (6, 6, False, 18)
    assert [number for number, dc in enumerate(high.dc) if dc] == [0, 4, 5]
    assert PROFILE.plan(0, 2) is low


def test_a_layer_of_a_known_band_refines() -> None:
    ladder = (Layer("low", 3), Layer("high", 1), Layer("low", 1))
    p = Profile.uniform(["a"], size=64, steps=(16,), ladder=ladder)
    coarse, high, fine = (p.plan(layer, 1) for layer in range(3))
    assert [(plan.known, plan.refines) for plan in (coarse, high, fine)] == [
        (0, False),
        (6, False),
        (24, True),
    ]
    assert high.channels[0].ratios[:8] == (3 * 1024,) * 6 + (1024,) * 2
    assert len(fine.contexts) == 2 * len(coarse.contexts)


def test_plans_weigh_coefficients_whatever_the_steps() -> None:
    layer = PROFILE.tables.layers[0]
    network = replace(layer.networks[1], taps=(0, 3), centre=(100,), hidden=" " * 8 * 8)
    layer = replace(layer, networks=(layer.networks[0], network, *layer.networks[2:]))
    tables = Tables((layer, PROFILE.tables.layers[1]))
    p = replace(PROFILE, tables=tables, steps=((32, 16) + (48,) * 22, (16, 32) + (16,) * 22))
    assert [p.plan(0, q).channels[1].centre for q in (1, 2)] == [(800,), (200,)]
    assert [p.plan(0, q).channels[1].ratios[0] for q in (1, 2)] == [2048, 512]


def test_thresholds_are_optional_and_named_by_the_id() -> None:
    p = replace(PROFILE, thresholds=(60, 55))
    assert (PROFILE.threshold(1), p.threshold(1), p.threshold(2)) == (0.5, 0.6, 0.55)
    assert Profile.unpack(p.pack()) == p
    assert p.id != PROFILE.id
    assert "thresholds" not in json.loads(PROFILE.to_json())


@pytest.mark.parametrize("thresholds", [[60], [60, 49], [60, 100], [60, 55.0], "ab"])
def test_bad_thresholds_are_refused(thresholds: object) -> None:
    with pytest.raises(ProfileError, match="thresholds"):
        Profile.from_json(changed(thresholds=thresholds))


def test_an_unknown_quality_is_named() -> None:
    with pytest.raises(ProfileError, match=r"no quality 9.*\[1, 2\]"):
        PROFILE.low_steps(9)


def tables(**fields: Any) -> dict[str, Any]:
    """Tables whose second layer has these fields."""
    found: dict[str, Any] = json.loads(PROFILE.to_json())["tables"]
    found["layers"][1] |= fields
    return found


def network(number: int = 0, **fields: Any) -> dict[str, Any]:
    """Tables whose second layer has a network with these fields."""
    found = tables()
    found["layers"][1]["networks"][number] |= fields
    return found


BANK = [list(t) for t in PROFILE.tables.layers[1].bank]
ROW = PROFILE.tables.layers[1].contexts
UNITS = 8


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", 3),
        ("size", 60),
        ("size", 0),
        ("size", 4096),
        ("size", 64.0),
        ("size", True),
        ("low", []),
        ("low", [0, 1, 8, 9, 64, 192]),
        ("low", [0, 1, 8, 9, 64, -1]),
        ("low", [0, 1, 8, 9, 64, 2]),
        ("low", "abcdef"),
        ("qualities", []),
        ("qualities", [2, 1]),
        ("qualities", [1, 1]),
        ("qualities", [1, 256]),
        ("qualities", [1, 2, 3]),
        ("quality", 3),
        ("quality", None),
        ("steps", [[16] * 24]),
        ("steps", [[16] * 24, [16] * 23]),
        ("steps", [[16] * 24, [16] * 23 + [0]]),
        ("steps", [[16] * 24, [16] * 23 + [1.5]]),
        ("steps", [16, 16]),
        ("tables", []),
        ("tables", {}),
        ("tables", {"layers": []}),
        ("tables", {"layers": tables()["layers"][:1]}),
        ("tables", {"layers": [1, 2]}),
        ("tables", {**tables(), "more": 1}),
        ("tables", tables(more=1)),
        ("tables", tables(bank=[])),
        ("tables", tables(bank=BANK * 9)),
        ("tables", tables(bank=[[16384], *BANK[1:]])),
        ("tables", tables(bank=[[8192, 8193], *BANK[1:]])),
        ("tables", tables(bank=[[16384, 0], *BANK[1:]])),
        ("tables", tables(bank=[[16385, -1], *BANK[1:]])),
        ("tables", tables(bank=[[252] * 64 + [256], *BANK[1:]])),
        ("tables", tables(bank=BANK[:4])),
        ("tables", tables(contexts=ROW[:-1])),
        ("tables", tables(contexts=ROW[:-1] + "~")),
        ("tables", tables(contexts=ROW[:-1] + "é")),
        ("tables", tables(contexts=[0] * len(ROW))),
        ("tables", tables(networks=[])),
        ("tables", tables(networks=[{}] * 18)),
        ("tables", network(more=1)),
        ("tables", network(taps=[0, 0, 0])),
        ("tables", network(taps=[0, 25, 0, 0, 0, 0, 0, 0])),
        ("tables", network(taps=[0, -1, 0, 0, 0, 0, 0, 0])),
        ("tables", network(taps=[6, 12, 0, 0, 0, 0, 0, 0])),
        ("tables", network(taps=[7, 0, 0, 0, 0, 0, 0, 0])),
        ("tables", network(taps=[0, 0] * 65, centre=[0] * 65, hidden=" " * UNITS * 136)),
        ("tables", network(taps=[0, 0.0, 0, 0, 0, 0, 0, 0])),
        ("tables", network(centre=[0] * 3)),
        ("tables", network(centre=[0, 0, 0, 4097])),
        ("tables", network(globals=[6], hidden=" " * UNITS * 15)),
        ("tables", network(globals=[0])),
        ("tables", network(bias=[])),
        ("tables", network(bias=[0] * 7)),
        ("tables", network(bias=[0] * 40, hidden=" " * 40 * 14, output=" " * 120)),
        ("tables", network(bias=[0] * 7 + [32768])),
        ("tables", network(hidden=" " * (UNITS * 14 - 1))),
        ("tables", network(hidden=" " * (UNITS * 14 - 1) + '"')),
        ("tables", network(output=" " * 23)),
        ("tables", network(output_bias=[0, 0])),
        ("tables", network(output_bias=[0, 0, 32768])),
        ("tables", tables(empty=[[16] * 18])),
        ("tables", tables(empty=[[16] * 18, [16] * 17])),
        ("tables", tables(empty=[[16] * 18, [0] * 18])),
        ("tables", tables(empty=[[16] * 18, [256] * 18])),
        ("ladder", [["low", 3], ["high", 1], ["low", 1]]),
        ("ladder", [["low", 9], ["low", 1], ["high", 1]]),
        ("labels", []),
        ("labels", ["a", ""]),
        ("labels", ["a", None]),
        ("labels", ["\ud800"]),
        ("labels", "abc"),
    ],
)
def test_a_profile_that_does_not_hold_together_is_refused(field: str, value: object) -> None:
    with pytest.raises(ProfileError):
        Profile.from_json(changed(**{field: value}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "1",
        "{}",
        "nope",
        b"\xff\xfe\xff",
        "[" * 100_000,
        '{"size": 1' + "0" * 5000 + "}",
        changed(extra=1),
    ],
)
def test_what_is_not_a_profile_is_refused(text: str | bytes) -> None:
    with pytest.raises(ProfileError):
        Profile.from_json(text)


def test_made_wrong_in_code_it_is_refused_too() -> None:
    with pytest.raises(ProfileError, match="size"):
        replace(PROFILE, size=7)
    with pytest.raises(ProfileError, match="twice"):
        replace(PROFILE, high=(*PROFILE.high[:-1], 0))


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"junk",
        PROFILE.pack()[:-1],
        PROFILE.pack() + b"x",
        zlib.compress(b"0" * (MAX_JSON + 1)),
        zlib.compress(b" " * 50 * MAX_JSON),
    ],
)
def test_damaged_or_oversized_packing_is_refused(packed: bytes) -> None:
    with pytest.raises(ProfileError):
        Profile.unpack(packed)
