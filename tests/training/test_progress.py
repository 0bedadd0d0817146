import time

import pytest

from overtone.training.progress import duration, tracked


def test_a_file_gets_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter([0.0, 0, 20, 40, 60, 80, 100])
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    assert list(tracked([1, 2, 3, 4, 5, 6], "fitting networks")) == [1, 2, 3, 4, 5, 6]
    first, second = capsys.readouterr().err.splitlines()
    assert first == "fitting networks: 2 of 6, about 80 s left"
    assert second == "fitting networks: 4 of 6, about 40 s left"


def test_without_a_total_only_what_is_done_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter([0.0, 0, 31])
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    assert list(tracked(iter("ab"), "quality 3")) == ["a", "b"]
    assert capsys.readouterr().err == "quality 3: 1\n"


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tracked(range(100), "quick")) == list(range(100))
    assert capsys.readouterr().err == ""


def test_durations() -> None:
    assert [duration(s) for s in (0, 89, 600, 7200)] == [
        "about 1 s",
        "about 89 s",
        "about 10 min",
        "about 2.0 h",
    ]
