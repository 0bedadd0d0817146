"""From an invented sweep to its report, and to the tables and figures of docs/load.md."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from overtone.benchmarks import pages
from overtone.benchmarks.sweep import docs, report
from overtone.benchmarks.sweep.headline import Figures, headlines
from overtone.benchmarks.sweep.results import ResultFile
from overtone.benchmarks.sweep.study import PolicyComparison, Study, knee
from tests.benchmarks.swept import swept

# The README's images are downloaded over thin links too.
LARGEST = 150_000
FIGURES = ("links", "rates", "policies", "economy", "accuracy", "exits", "devices", "timeline")


@pytest.fixture
def file(tmp_path: Path) -> ResultFile:
    return swept(tmp_path)


def words(file: ResultFile, folder: Path) -> str:
    return re.sub(r"\s+", " ", report.write(file, folder).read_text())


def test_the_page(file: ResultFile, tmp_path: Path) -> None:
    page = words(file, tmp_path)
    # It needs no other file.
    assert page.count("<svg") == 8
    assert not re.search(r"""(src|href)=["'](?!#)|@import|url\((?!#)|<script""", page)
    for name in FIGURES:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for words_of_it in (
        "Of &lt;tests&gt;",
        "Goal: ×0.35 of the median, reached.",
        "LTE-M: auto answers in 106 ms on average, 3.9% slower than the best, at_once (102 ms).",
        "Auto wastes 3 ms of link per image, 11% of its payload bytes, and saves 46 ms.",
        "Auto is within 5% of the best policy on every link",
        "Up to <strong>2</strong> devices",
        "as the plan states, untested",
        "<td>images per second, computed for a full link</td><td>34.1 (×3.82, ×3.82)</td>",
        "over the value of WebP, equal accuracy, and over that of JPEG 64 px q75.",
        "A stream keeps 8 images in flight",
    ):
        assert words_of_it in page


def test_the_page_says_where_equal_accuracy_comes_from(
    file: ResultFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overtone.benchmarks.sweep.figures.draw", lambda *_: dict.fromkeys(FIGURES, ""))
    equal = {"n": 943, "theirs": 0.86, "ours": 0.864, "reached": False}
    file.add(Study(file).about | {"equal": equal})
    page = words(file, tmp_path)
    assert "86.0% correct in front of an equally expensive network" in page
    assert "No setting that was tried is as accurate" in page


def test_the_headline(file: ResultFile) -> None:
    lte_m, third = headlines(Study(file))
    jpeg, webp = lte_m.against
    assert lte_m.ours == Figures(106, 108, 1000)
    assert lte_m.on_demand == Figures(152, 154, 1000)
    assert (jpeg.title, webp.title) == ("JPEG 64 px q75", "WebP, equal accuracy")
    assert jpeg.theirs == Figures(402, 404, 4100)
    assert jpeg.ratio.p50 == pytest.approx(106 / 402)
    # 120 ms of round trip and 21 of the server, over 402.
    assert jpeg.least == pytest.approx(0.35, abs=0.002)
    assert (jpeg.reached, replace(jpeg, goal=0.2).reached) == (True, False)
    assert (webp.goal, {each.goal for each in third.against}) == (0.6, {None})


def test_rounds_are_pooled(file: ResultFile) -> None:
    (pool,) = Study(file).of("links", link="3g", policy="ahead")
    assert pool.n == 10
    assert pool.latency(50) == 112.0
    assert set(pool.values("queue_ms")) == {1.235}  # as rounded in the file
    assert pool.exit_share == pytest.approx(0.8)
    assert pool.accuracy is not None
    share, lowest, highest = pool.accuracy
    assert lowest < share == 0.8 < highest


def test_policies_are_compared(file: ResultFile) -> None:
    lte_m, third = Study(file).policies()
    assert (lte_m.link, third.link) == ("lte-m", "3g")
    assert lte_m.fastest == lte_m.best == "at_once"
    assert lte_m.auto_to("at_once") == pytest.approx(106 / 102)
    assert lte_m.saved("auto") == pytest.approx(46)
    # Four of five images did not need their 120 bytes, which take 3.2 ms of 300 kbit/s.
    assert lte_m.wasted["auto"] == pytest.approx(0.8 * 3.2)
    assert lte_m.met


def test_the_best_policy_does_not_waste_more_than_it_saves() -> None:
    latency = {"on_demand": 200.0, "ahead": 180.0, "at_once": 150.0, "auto": 181.0}
    wasted = {"on_demand": 0.0, "ahead": 15.0, "at_once": 90.0, "auto": 15.0}
    unused = {"on_demand": 0.0, "ahead": 0.1, "at_once": 0.5, "auto": 0.1}
    compared = PolicyComparison("nb-iot", latency, dict.fromkeys(latency, 1000.0), wasted, unused)
    assert (compared.fastest, compared.best, compared.met) == ("at_once", "ahead", True)
    assert not replace(compared, wasted=wasted | {"auto": 25.0}).met
    assert not replace(compared, latency=latency | {"auto": 210.0}, wasted=wasted | {"auto": 0.0}).met


def test_the_best_policy_keeps_to_the_limit_on_unasked_bytes() -> None:
    latency = {"on_demand": 50.0, "ahead": 40.0, "at_once": 30.0, "auto": 50.0}
    wasted = dict.fromkeys(latency, 0.0)
    unused = {"on_demand": 0.0, "ahead": 0.3, "at_once": 0.5, "auto": 0.12}
    compared = PolicyComparison("wifi", latency, dict.fromkeys(latency, 1000.0), wasted, unused)
    assert (compared.fastest, compared.best, compared.met) == ("at_once", "on_demand", True)
    assert not replace(compared, unused=unused | {"auto": 0.2}).met


def test_the_knee_is_the_last_fleet_that_keeps_up(file: ResultFile) -> None:
    fleets = Study(file).fleets()
    found = knee(fleets)
    assert found is not None
    assert found.point.devices == 2
    assert knee(fleets[:2]) is None


def test_an_unfinished_sweep_has_a_report_too(file: ResultFile, tmp_path: Path) -> None:
    half = tmp_path / "half.jsonl"
    half.write_text("".join(file.path.read_text().splitlines(keepends=True)[:4]))
    assert "<svg" in report.write(ResultFile(half), tmp_path).read_text()
    with pytest.raises(ValueError, match="no results of a sweep"):
        Study(ResultFile(tmp_path / "nothing.jsonl"))


def test_the_docs_have_its_tables_and_figures(file: ResultFile, tmp_path: Path) -> None:
    stray = file.results()[0].line() | {"key": "stray"}
    stray["run"]["point"]["devices"] = 77  # not in the plan, so it is not kept
    file.add(stray)
    log = tmp_path / "log.jsonl"
    docs.keep(file.path, log)
    kept = ResultFile(log)
    assert len(kept.results()) == len(file.results()) - 1
    assert kept.results()[0].columns["queue_ms"] == [1.2] * 5
    tables = docs.tables(Study(kept), Study(kept))
    assert "| LTE-M · 300 kbit/s, 120 ms | **Overtone** | 106 ms |" in tables["results"]
    assert "| ×0.35 | ×0.35 |" in tables["results"]
    assert (
        "| 152 ms, 1,000 | 112 ms, 1,000 | **102 ms, 1,000** | 106 ms, 1,000 | +3.9% |" in tables["policies"]
    )
    assert "|  | mJ, with the tail | 923 (×0.93, ×0.93) |" in tables["what bytes buy"]
    names = [path.name for path in docs.draw(Study(kept), Study(kept), tmp_path)]
    assert names == ["load-links.png", "load-timeline.png", "load-economy.png"]
    with pytest.raises(ValueError, match="no such file"):
        docs.keep(tmp_path / "none.jsonl", log)


def test_without_streams_the_docs_say_nothing_of_them(file: ResultFile, tmp_path: Path) -> None:
    study = Study(file)
    study.pools = {key: pool for key, pool in study.pools.items() if key[0] != "stream"}
    assert docs.tables(study, study)["what bytes buy"] == ""
    assert [path.name for path in docs.draw(study, study, tmp_path)] == [
        "load-links.png",
        "load-timeline.png",
    ]
    # Their own log is used if there is one.
    assert docs.streams(study, tmp_path / "none.jsonl") is study
    assert docs.streams(study, file.path).links_of("stream") == ["lte-m"]


def test_the_kept_page_has_the_tables_of_its_logs() -> None:
    study = Study(ResultFile(docs.LOG))
    streamed = docs.streams(study, docs.STREAM_LOG)
    tables = docs.tables(study, streamed)
    assert docs.PAGE.read_text("utf-8") == pages.filled(docs.PAGE, tables), f"run python -m {docs.__name__}"
    names = ["load-links.png", "load-timeline.png"] + ["load-economy.png"] * bool(streamed.links_of("stream"))
    for name in names:
        assert (docs.DOCS / "images" / name).stat().st_size <= LARGEST


def test_tables_are_filled_in_between_their_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- sizes -->\nold\n<!-- end of sizes -->\nafter\n")
    for table in ("| a |", "| \\1 |"):
        pages.fill(page, {"sizes": table})
        assert page.read_text() == f"before\n<!-- sizes -->\n{table}\n<!-- end of sizes -->\nafter\n"
    for missing, name in ((page, "other"), (tmp_path / "none.md", "sizes")):
        with pytest.raises(pages.PageError):
            pages.fill(missing, {name: ""})
