"""The open sessions of a server: limits on their number, and which idle one is closed for a new one."""

from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from typing import Protocol

from overtone.gpu_server.core import Core
from overtone.gpu_server.errors import Overloaded, OverShare
from overtone.gpu_server.limits.budget import ALL, PEER

# Seconds without a message or an image in flight after which a session may be closed for another one.
IDLE = 1.0
# How many of an owner's sessions, the oldest, are searched for an idle one; searching thousands would take long.
SEARCHED = 64


class OpenSession(Protocol):
    """What the service needs of an open session; `grpc.session.Session` is one.

    Attributes:
        owner: the client's name.
        core: the core that judges its images; None before the welcome.
        model: NAME or NAME:VERSION by its hello; empty if it names none.
    """

    owner: str
    core: Core | None
    model: str

    def go_away(self, reason: str) -> None:
        """Finish the images in flight and accept no new ones."""

    def idle(self) -> float:
        """Seconds since the device's last message; 0 while an image is in flight."""


class Sessions:
    """Counts sessions. If there are too many, the one that has been idle longest is sent away.

    That is a session of the owner that is over its share, else one of the owner that has most.

    Args:
        limit: sessions of all owners together.
        share: the part that one owner may have.
        on_refused: called with the limit that was reached, `ALL` or `PEER`.
    """

    def __init__(self, limit: int, share: float, on_refused: Callable[[str], None]) -> None:
        self._limit = limit
        self._largest = max(1, int(limit * share))
        self._on_refused = on_refused
        self._count = 0
        self._open: dict[str, dict[OpenSession, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return self._count

    def all(self) -> list[OpenSession]:
        """The open sessions."""
        return [session for sessions in self._open.values() for session in sessions]

    def add(self, session: OpenSession) -> None:
        """Add a session, for which an idle one may be sent away.

        Raises:
            OverShare: its owner has too many sessions, none of them idle.
            Overloaded: there are too many sessions, none of them idle of the owner that has most.
        """
        if len(self._open.get(session.owner, ())) >= self._largest:
            self._on_refused(PEER)
            if not self._send_away(session.owner):
                raise OverShare("you have too many sessions; close one, or try later", retry_after=5.0)
        elif len(self) >= self._limit:
            self._on_refused(ALL)
            if not self._send_away(max(self._open, key=lambda owner: len(self._open[owner]))):
                raise Overloaded("too many sessions; try another server or later", retry_after=5.0)
        self._open[session.owner][session] = None
        self._count += 1

    def remove(self, session: OpenSession) -> None:
        """Remove a session that has ended; no effect if it was sent away before."""
        theirs = self._open.get(session.owner, {})
        if session not in theirs:
            return
        del theirs[session]
        self._count -= 1
        if not theirs:
            del self._open[session.owner]

    def _send_away(self, owner: str) -> bool:
        longest = max(islice(self._open[owner], SEARCHED), key=lambda session: session.idle())
        if longest.idle() < IDLE:
            return False
        self.remove(longest)
        longest.go_away("the server needs room for other sessions")
        return True
