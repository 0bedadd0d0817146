from pathlib import Path

import pytest

from overtone.benchmarks.curve.result_cache import ResultCache
from overtone.benchmarks.json_lines import DamagedFileError, JsonLines

KEY, VALUE = {"codec": "webp", "side": 64}, {"bytes": [1, 2]}


def test_a_value_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "measured.jsonl"
    ResultCache(path).add(KEY, VALUE)
    again = ResultCache(path)
    assert {"side": 64, "codec": "webp"} in again
    assert again[KEY] == VALUE
    assert {"codec": "webp"} not in again


def test_an_incomplete_last_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "measured.jsonl"
    file = JsonLines(path)
    for number in (1, 2):
        file.append({"number": number})
    path.write_bytes(path.read_bytes()[:-3])
    again = JsonLines(path)
    assert again.lines == [{"number": 1}]
    again.append({"number": 3})
    assert JsonLines(path).lines == [{"number": 1}, {"number": 3}]


@pytest.mark.parametrize("line", ['{"key"', '{"key": {}}', "7"])
def test_damage_before_the_last_line_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "measured.jsonl"
    path.write_text(f'{{"key": {{}}, "value": {{}}}}\n{line}\n')
    with pytest.raises(DamagedFileError, match="line 2: not a result"):
        JsonLines(path, "key", "value")
