import json
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from overtone.frequency import Profile, ProfileError
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
    assert " " not in text
    assert "犬" in text
    assert list(json.loads(text)) == sorted(json.loads(text))


def test_the_id_is_frozen() -> None:
    # Devices in the field know profiles by this: a change of the JSON is a change of the protocol.
    assert PROFILE.id.hex() == "44cc28fe"


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
    assert p.low_steps(1).dtype == p.high_steps(2).dtype == np.float32
    assert p.low_steps(1).tolist() + p.high_steps(2).tolist() == list(ramp)
    assert p.blocks == 8


def test_plans_are_split_by_band_and_kept() -> None:
    low, high = PROFILE.plan("low", 2), PROFILE.plan("high", 2)
    assert (low.first, len(low.channels)) == (0, 6)
    assert (high.first, len(high.channels)) == (6, 18)
    assert [number for number, dc in enumerate(high.dc) if dc] == [0, 4, 5]
    assert PROFILE.plan("low", 2) is low


def test_plans_weigh_coefficients_whatever_the_steps() -> None:
    tables = replace(PROFILE.tables, centre=((), (0, 3, 100), *((),) * 22), base=((5, 7, 160),) * 24)
    p = replace(PROFILE, tables=tables, steps=((32, 16) + (48,) * 22, (16, 32) + (16,) * 22))
    assert [p.plan("low", q).channels[1].centre[0].weight for q in (1, 2)] == [800, 200]
    assert [p.plan("low", q).channels[1].floor for q in (1, 2)] == [7 + 640, 7 + 320]


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
    found: dict[str, Any] = json.loads(PROFILE.to_json())["tables"]
    return found | fields


BANK = [list(t) for t in PROFILE.tables.bank]
ROW = PROFILE.tables.contexts[0]


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
        ("tables", {"bank": []}),
        ("tables", tables(more=1)),
        ("tables", tables(bank=[])),
        ("tables", tables(bank=BANK * 9)),
        ("tables", tables(bank=[[16384], *BANK[1:]])),
        ("tables", tables(bank=[[8192, 8193], *BANK[1:]])),
        ("tables", tables(bank=[[16384, 0], *BANK[1:]])),
        ("tables", tables(bank=[[16385, -1], *BANK[1:]])),
        ("tables", tables(bank=[[252] * 64 + [256], *BANK[1:]])),
        ("tables", tables(bank=BANK[:4])),
        ("tables", tables(contexts=[ROW] * 23)),
        ("tables", tables(contexts=[ROW] * 23 + [ROW[:-1]])),
        ("tables", tables(contexts=[ROW] * 23 + [ROW[:-1] + "!"])),
        ("tables", tables(contexts=[ROW] * 23 + [3])),
        ("tables", tables(centre=[[]] * 23)),
        ("tables", tables(centre=[[]] * 23 + [[0, 0]])),
        ("tables", tables(centre=[[]] * 23 + [[24, 0, 1]])),
        ("tables", tables(centre=[[1, 0, 1]] + [[]] * 23)),
        ("tables", tables(centre=[[0, 7, 1]] + [[]] * 23)),
        ("tables", tables(centre=[[], [0, 10, 1]] + [[]] * 22)),
        ("tables", tables(centre=[[], [1, 6, 1]] + [[]] * 22)),
        ("tables", tables(centre=[[0, 0, 4097]] + [[]] * 23)),
        ("tables", tables(centre=[[0, 0, 1.0]] + [[]] * 23)),
        ("tables", tables(centre=[[0, 0, 1] * 65] + [[]] * 23)),
        ("tables", tables(spread=[[0, 0, -1]] + [[]] * 23)),
        ("tables", tables(base=[[0, 0, 0]] * 23)),
        ("tables", tables(base=[[0, 0]] * 24)),
        ("tables", tables(base=[[0, -1, 0]] * 24)),
        ("tables", tables(base=[[4097, 0, 0]] * 24)),
        ("tables", tables(empty=[[16] * 24])),
        ("tables", tables(empty=[[16] * 24, [16] * 23])),
        ("tables", tables(empty=[[16] * 24, [0] * 24])),
        ("tables", tables(empty=[[16] * 24, [256] * 24])),
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
