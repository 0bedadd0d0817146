"""The page of results is what its log says."""

from pathlib import Path

import pytest

from overtone.benchmarks.sweep import docs as load_docs
from overtone.benchmarks.sweep.docs import DOCS, LOG, MISSING, PAGE, TEMPLATE, draw, keep, measured, render
from overtone.benchmarks.sweep.runs import Book
from overtone.benchmarks.sweep.study import Study
from tests.benchmarks.swept import swept

# README pictures are looked at over thin links too.
LARGEST = 150_000


@pytest.fixture
def sweep_book(tmp_path: Path) -> Book:
    return swept(tmp_path)


def test_a_log_renders_as_what_it_was_kept_from(sweep_book: Book, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    keep(sweep_book.path, log)
    assert Book(log).results()[0].columns["queue_ms"] == [1.2] * 5
    page = render("# Load\n\n$measured\n", log)
    assert page == f"# Load\n\n{measured(Study(sweep_book))}\n"
    assert "| LTE-M · 300 kbit/s, 120 ms | **Overtone** | 106 ms |" in page
    assert "- LTE-M, JPEG 64 px q75: Goal 0.35 of the time: reached." in page
    assert (
        "| LTE-M | 152 ms, 1,000 | 112 ms, 1,000 | **102 ms, 1,000** | 106 ms, 1,000 | +3.9% | 6 ms | 46 ms |"
        in page
    )


def test_what_the_plan_did_not_ask_for_is_not_kept(sweep_book: Book, tmp_path: Path) -> None:
    results = sweep_book.results()
    stray = results[0].line() | {"key": "stray"}
    stray["run"]["point"]["devices"] = 77
    sweep_book.add(stray)
    keep(sweep_book.path, tmp_path / "log.jsonl")
    assert len(Book(tmp_path / "log.jsonl").results()) == len(results)


def test_the_pictures(sweep_book: Book, tmp_path: Path) -> None:
    assert [path.name for path in draw(sweep_book.path, tmp_path)] == ["load-links.png", "load-timeline.png"]


def test_without_a_log_the_page_says_so(tmp_path: Path) -> None:
    assert render("$measured", tmp_path / "none.jsonl") == MISSING
    with pytest.raises(ValueError, match="no such file"):
        keep(tmp_path / "none.jsonl", tmp_path / "log.jsonl")


def test_the_committed_page_is_up_to_date() -> None:
    text = render((DOCS / TEMPLATE).read_text("utf-8"), DOCS / "runs" / LOG)
    assert (DOCS / PAGE).read_text("utf-8") == text, f"run `python -m {load_docs.__name__}`"


def test_the_committed_pictures_are_light() -> None:
    if not (DOCS / "runs" / LOG).is_file():
        pytest.skip(f"no {LOG} has been kept in docs/runs yet")
    for name in ("load-links.png", "load-timeline.png"):
        assert (DOCS / "images" / name).stat().st_size <= LARGEST
