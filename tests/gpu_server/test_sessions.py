import pytest

from overtone.gpu_server.core import Core
from overtone.gpu_server.errors import Overloaded, OverShare
from overtone.gpu_server.grpc.sessions import Sessions


class Open:
    """A session that has been idle for so long."""

    def __init__(self, owner: str, idle: float) -> None:
        self.owner = owner
        self.core: Core | None = None
        self.model = ""
        self.idle_for = idle
        self.sent_away = False

    def go_away(self, reason: str) -> None:
        self.sent_away = True

    def idle(self) -> float:
        return self.idle_for


def opened(sessions: Sessions, owner: str, *idle: float) -> list[Open]:
    found = [Open(owner, each) for each in idle]
    for each in found:
        sessions.add(each)
    return found


def test_who_is_over_its_share_loses_its_idlest_session() -> None:
    refused: list[str] = []
    sessions = Sessions(8, 0.5, refused.append)
    bad = opened(sessions, "bad", 5, 9, 7, 2)
    assert refused == []
    opened(sessions, "bad", 0)
    assert [each.sent_away for each in bad] == [False, True, False, False]
    assert refused == ["peer"]
    assert len(sessions) == 4


def test_who_is_busy_in_all_its_sessions_is_refused_another_one() -> None:
    sessions = Sessions(8, 0.5, lambda _: None)
    opened(sessions, "busy", 0, 0, 0, 0)
    with pytest.raises(OverShare):
        opened(sessions, "busy", 0)
    opened(sessions, "good", 0)


def test_where_all_are_taken_who_has_most_gives_way() -> None:
    sessions = Sessions(6, 0.5, lambda _: None)
    some, most = opened(sessions, "some", 50, 60), opened(sessions, "most", 3, 4, 2)
    opened(sessions, "third", 0)
    (new,) = opened(sessions, "good", 0)
    assert [each.sent_away for each in most] == [False, True, False]
    assert not any(each.sent_away for each in some)
    sessions.remove(most[1])  # it ends a moment later, and has been counted out already
    assert len(sessions) == 6
    sessions.remove(new)
    assert len(sessions) == 5


def test_where_all_are_taken_and_busy_nobody_gives_way() -> None:
    sessions = Sessions(4, 0.5, lambda _: None)
    opened(sessions, "a", 0, 0)
    opened(sessions, "b", 0, 0)
    with pytest.raises(Overloaded):
        opened(sessions, "c", 0)
