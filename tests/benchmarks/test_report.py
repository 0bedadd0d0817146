import re
from dataclasses import replace
from pathlib import Path

import pytest

from overtone.benchmarks.sweep import findings, report
from overtone.benchmarks.sweep.findings import Taken
from overtone.benchmarks.sweep.runs import Book
from overtone.benchmarks.sweep.study import Study, Verdict, knee
from tests.benchmarks.swept import swept


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return swept(tmp_path)


def test_the_page_needs_nothing_else(book: Book, tmp_path: Path) -> None:
    page = report.write(book, tmp_path).read_text()
    assert page.count("<svg") == 7
    assert not re.search(r"""(src|href)=["'](?!#)|@import|url\((?!#)|<script""", page)
    assert "Of &lt;tests&gt;" in page
    for name in ("links", "rates", "policies", "accuracy", "exits", "devices", "timeline"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    # The figures take their colours from the page, which has two sets of them.
    assert not re.search(r"<svg.*?fill: #[0-9a-f]{6}", page, re.DOTALL)


def test_the_headline(book: Book) -> None:
    study = Study(book)
    lte_m, third = findings.headlines(study)
    jpeg, webp = lte_m.against
    assert lte_m.ours == Taken(106, 108, 1000)
    assert lte_m.asked == Taken(152, 154, 1000)
    assert jpeg.title == "JPEG 64 px q75"
    assert webp.title == "WebP, equal accuracy"
    assert jpeg.p50 == pytest.approx(106 / 402)
    assert jpeg.p95 == pytest.approx(108 / 404)
    assert jpeg.bytes == pytest.approx(1000 / 4100)
    assert jpeg.verdict == "Goal 0.35 of the time: reached."
    assert webp.goal == 0.6
    assert {each.verdict for each in third.against} == {""}
    assert [row["ours"] for row in report.rows(study, "3g")] == [True, True, False, False]


def test_a_goal_out_of_reach_says_so(book: Book) -> None:
    (jpeg, *_) = findings.headlines(Study(book))[0].against
    missed = replace(jpeg, p50=0.4)
    # 120 ms and 21 of the server, over 402.
    assert missed.verdict.startswith("Goal 0.35 of the time: missed. Round trip and server alone take 0.35,")
    assert missed.verdict.endswith("so no payload is small enough.")
    assert replace(missed, least=0.3).verdict.endswith("take 0.30.")


def test_who_says_what_equal_accuracy_is(book: Book) -> None:
    assert "by the plan" in report.equal_words(Study(book))
    equal = {"n": 943, "theirs": 0.86, "ours": 0.864, "reached": False}
    book.add(Study(book).about | {"equal": equal})
    words = report.equal_words(Study(book))
    assert "86.0% right in front of an equally dear network" in words
    assert "No setting that was tried is as accurate" in words


def test_rounds_are_pooled(book: Book) -> None:
    study = Study(book)
    pool = study.one("links", link="3g", policy="ahead")
    assert pool is not None
    assert pool.n == 10
    assert pool.latency(50) == 112.0
    assert pool.exit_share == pytest.approx(0.8)
    accuracy = pool.accuracy
    assert accuracy is not None
    assert accuracy[0] == pytest.approx(0.8)
    assert accuracy[1] < 0.8 < accuracy[2]


def test_the_policies_are_judged(book: Book) -> None:
    verdicts = Study(book).verdicts()
    assert [verdict.link for verdict in verdicts] == ["lte-m", "3g"]
    assert verdicts[0].fastest == verdicts[0].best == "at_once"
    assert verdicts[0].auto_to("at_once") == pytest.approx(106 / 102)
    assert verdicts[0].saved("auto") == pytest.approx(46)
    # Four of five pictures did not need their 300 bytes, which take 8 ms of 300 kbit/s.
    assert verdicts[0].vain["auto"] == pytest.approx(0.8 * 8)
    assert report.verdict_row(verdicts[0])["met"]
    assert findings.judgement(verdicts[0]) == (
        "LTE-M: auto answers in 106 ms on average, 3.9% behind the best, at_once (102 ms). "
        "It spends 6 ms of link a picture in vain and saves 46 ms."
    )
    assert "on every link" in findings.summing_up(verdicts)


def test_the_best_policy_does_not_send_more_than_it_saves() -> None:
    latency = {"on_demand": 200.0, "ahead": 180.0, "at_once": 150.0, "auto": 181.0}
    vain = {"on_demand": 0.0, "ahead": 15.0, "at_once": 90.0, "auto": 15.0}
    verdict = Verdict("nb-iot", latency, dict.fromkeys(latency, 1000.0), vain)
    assert (verdict.fastest, verdict.best) == ("at_once", "ahead")
    assert findings.met(verdict)
    words = findings.judgement(verdict)
    assert "20.7% behind the fastest, at_once (150 ms)" in words
    assert "spends 90 ms of link a picture in vain to save 50 ms" in words
    assert "the best is ahead (180 ms), and auto is 0.6% behind it" in words
    greedy = replace(verdict, vain=vain | {"auto": 25.0})
    assert not findings.met(greedy)
    slow = replace(verdict, latency=latency | {"auto": 210.0}, vain=vain | {"auto": 0.0})
    assert findings.summing_up([verdict, slow]).endswith("It is not on NB-IoT; it is on NB-IoT.")
    assert findings.judgement(slow).endswith("It sends nothing in vain.")


def test_the_knee_is_the_last_fleet_that_keeps_up(book: Book) -> None:
    fleets = Study(book).fleets()
    found = knee(fleets)
    assert found is not None
    assert found.point.devices == 2
    assert knee(fleets[:2]) is None


def test_half_a_sweep_has_a_report_too(book: Book, tmp_path: Path) -> None:
    lines = book.path.read_text().splitlines()
    half = tmp_path / "half.jsonl"
    half.write_text("\n".join(lines[:4]) + "\n")
    page = report.write(Book(half), tmp_path).read_text()
    assert "<svg" in page
    with pytest.raises(ValueError, match="no results of a sweep"):
        Study(Book(tmp_path / "nothing.jsonl"))
