"""What bytes buy in an invented sweep: 1,100 bytes up and 164 down on the wire, over LTE-M's 37,500 a second."""

from pathlib import Path

import pytest

from overtone.benchmarks.sweep.economy import (
    MEASURES,
    OVER_REST,
    Economy,
    LinkEconomy,
    cell,
    economies,
    titles,
)
from overtone.benchmarks.sweep.results import ResultFile
from overtone.benchmarks.sweep.study import ON_DEMAND, OURS, Study
from overtone.link.radio import Radio
from tests.benchmarks.swept import swept

REST = OVER_REST["auto"]
WEBP, JPEG = "WebP, equal accuracy", "JPEG 64 px q75"
SENDING, RECEIVING = 1100 / 37_500, 164 / 37_500
PER_SECOND, BUSY, CARRIED = MEASURES[:3]


@pytest.fixture
def file(tmp_path: Path) -> ResultFile:
    return swept(tmp_path)


def test_ours_on_one_link(file: ResultFile) -> None:
    (lte_m,) = economies(Study(file))
    ours = lte_m.contenders[OURS]
    # 5 answers in 2 seconds.
    assert ours.per_second == pytest.approx(2.5)
    assert ours.busy == pytest.approx(2.5 * SENDING)
    assert ours.carried == pytest.approx(1 / SENDING)
    assert ours.brownout is None
    assert ours.per_megabyte == pytest.approx(1e6 / 1264)
    assert ours.airtime == pytest.approx(SENDING)
    # 106 ms on average, in which it listens when it neither sends nor receives.
    energy = 545 * SENDING + 90 * RECEIVING + 90 * (0.106 - SENDING - RECEIVING)
    assert ours.energy == pytest.approx(energy)
    assert ours.lingering == pytest.approx(energy + 90 * 10)
    assert ours.average == pytest.approx((energy + 900 + 2.4 * (50 - 0.106)) / 60)
    # In a stream an image has 400 ms.
    assert ours.streamed == pytest.approx(545 * SENDING + 90 * (0.4 - SENDING))


def test_who_is_compared_with_whom(file: ResultFile) -> None:
    found = economies(Study(file))
    assert titles(found) == [OURS, ON_DEMAND, REST, WEBP, JPEG]
    (lte_m,) = found
    assert lte_m.rivals == (WEBP, JPEG)
    assert lte_m.ratios(OURS, CARRIED) == pytest.approx([4200 / 1100] * 2)
    # The baselines' streams use 14 % of the link, so their rate says nothing about it.
    assert lte_m.ratios(OURS, PER_SECOND) == [None, None]
    assert lte_m.ratios(JPEG, CARRIED) == []
    # Over REST only the stream was measured, on demand only single images.
    assert lte_m.contenders[REST].airtime is None
    assert lte_m.ratios(ON_DEMAND, CARRIED) == []


def test_cells() -> None:
    found = {OURS: Economy(120.4, 0.5, 130.0), WEBP: Economy(86.0, 0.93, 92.0), JPEG: Economy(3.456, 0.4)}
    each = LinkEconomy("3g", found, (WEBP, JPEG))
    assert cell(each, OURS, PER_SECOND) == "120 (×1.40, –)"
    assert cell(each, OURS, CARRIED) == "130 (×1.41, –)"
    assert cell(each, WEBP, PER_SECOND) == "86.0"
    assert cell(each, JPEG, PER_SECOND) == "3.46"
    assert cell(each, OURS, BUSY) == "50%"
    assert cell(each, JPEG, CARRIED) == cell(each, "nobody", PER_SECOND) == ""
    assert each.measures == [PER_SECOND, BUSY, CARRIED]


def test_brownouts_are_told(file: ResultFile) -> None:
    study = Study(file)
    (pool,) = study.of("stream", kind="session")
    pool.results[0].columns["stage"][2] = "brownout"
    assert economies(study)[0].contenders[OURS].brownout == pytest.approx(0.2)


def test_a_plan_has_other_radios(file: ResultFile) -> None:
    study = Study(file)
    radio = Radio(sending=1000.0, receiving=0.0, connected=0.0, tail=1.0)
    study.plan = study.plan.model_copy(update={"radios": {"lte-m": radio}})
    ours = economies(study)[0].contenders[OURS]
    assert ours.energy == ours.streamed == pytest.approx(1000 * SENDING)
    assert ours.average is None


def test_logs_without_bytes_on_the_wire_have_no_economy(file: ResultFile) -> None:
    study = Study(file)
    for pool in study.pools.values():
        for result in pool.results:
            del result.columns["wire_up"]
    assert economies(study)[0].contenders == {}
