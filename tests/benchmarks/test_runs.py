import json
from pathlib import Path

import pytest

from overtone.benchmarks.load.fleet import Harvest
from overtone.benchmarks.load.ready import Shot
from overtone.benchmarks.sweep.plan import Point, Run
from overtone.benchmarks.sweep.runs import Book, Result

SHOT = Shot(120.123456, 5.0, "low", True, 900, 0, 1000, 60, 1.0, 20.0)
RUN = Run("links", Point("lte-m", "session", "auto"), 0, 2, 1)


def result(key: str = "k") -> Result:
    return Result.of(key, RUN, Harvest([SHOT, SHOT], ["lost"], 2.0, 330.0, 185.0, 0.1))


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    Book(path).add(result().line())
    (found,) = Book(path).results()
    assert (found.key, found.run, found.errors) == ("k", RUN, ["lost"])
    assert found.column("latency_ms").tolist() == [120.123, 120.123]
    assert found.columns["right"] == [True, True]


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    Book(path).add(result("first").line())
    with path.open("a") as file:
        file.write('{"type":"run","key":"sec')
    book = Book(path)
    assert book.keys == {"first"}
    book.add(result("third").line())
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["first", "third"]


def test_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"type":"run","key":"k"}\nhello\n')
    with pytest.raises(ValueError, match="line 2: not a result of a sweep"):
        Book(path)
