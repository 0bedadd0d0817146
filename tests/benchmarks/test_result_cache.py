"""What was measured is found again, whatever interrupted it."""

from pathlib import Path

import pytest

from overtone.benchmarks.curve.ledger import Ledger, LedgerError

KEY, VALUE = {"way": "webp", "side": 64}, {"bytes": [1, 2]}


def test_is_found_again_by_another(tmp_path: Path) -> None:
    path = tmp_path / "new" / "measured.jsonl"
    Ledger(path).add(KEY, VALUE)
    again = Ledger(path)
    assert {"side": 64, "way": "webp"} in again
    assert again[KEY] == VALUE
    assert {"way": "webp"} not in again


def test_a_line_cut_off_at_the_end_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "measured.jsonl"
    ledger = Ledger(path)
    ledger.add(KEY, VALUE)
    ledger.add({"way": "avif"}, VALUE)
    path.write_bytes(path.read_bytes()[:-5])
    again = Ledger(path)
    assert KEY in again
    assert {"way": "avif"} not in again
    again.add({"way": "jpeg"}, VALUE)
    assert {"way": "jpeg"} in Ledger(path)


def test_damage_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "measured.jsonl"
    path.write_text('{"key"\n{"key": {}, "value": {}}\n')
    with pytest.raises(LedgerError, match="line 1"):
        Ledger(path)
