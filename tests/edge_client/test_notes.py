"""What a device that keeps going says."""

from itertools import pairwise

import pytest

from overtone.edge_client.notes import FIRST_PAUSE, LONGEST_PAUSE, Notes, Seldom


def test_trouble_is_told_less_and_less_often_and_nothing_is_left_uncounted() -> None:
    now = 0.0
    seldom = Seldom(lambda: now)
    told = []
    for second in range(3600):
        now = float(second)
        if count := seldom.happens():
            told.append((second, count))
    times = [second for second, _ in told]
    assert times[:5] == [0, 5, 15, 35, 75]
    assert sum(count for _, count in told) + seldom.count == 3600
    assert max(b - a for a, b in pairwise(times)) == LONGEST_PAUSE


def test_trouble_after_a_long_calm_is_told_as_if_it_were_the_first() -> None:
    now = 0.0
    seldom = Seldom(lambda: now)
    for second in (0, 5, 15):
        now = float(second)
        seldom.happens()
    now = 1000.0
    assert seldom.happens() == 1
    now += FIRST_PAUSE
    assert seldom.happens() == 1


def test_lines_of_one_kind_are_counted_where_they_are_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    notes = Notes(quiet=True)
    notes.say("not to be heard")
    assert notes.error("a [red]thing", kind="things")
    assert not notes.error("another", kind="things")
    assert notes.error("something else")
    assert capsys.readouterr().err == "overtone: a [red]thing\novertone: something else\n"
