"""The open sessions: how many there may be, in all and of one owner, and who gives way."""

from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from typing import Protocol

from overtone.gpu_server.core import Core
from overtone.gpu_server.errors import Overloaded, OverShare
from overtone.gpu_server.limits.budget import ALL, PEER

# Seconds without a message or an image in flight after which a session may have to give way.
IDLE = 1.0
# One of so many sessions of an owner, its oldest ones, gives way; looking at thousands would take long.
LOOKED_AT = 64


class Listed(Protocol):
    """An open session, as far as others are concerned.

    Attributes:
        owner: whose it is.
        core: the one that judges its images; None as long as it has none.
        model: NAME or NAME:VERSION, as its device named it; empty if it named none.
    """

    owner: str
    core: Core | None
    model: str

    def go_away(self, reason: str) -> None:
        """Finish what is in flight and accept nothing new."""

    def idle(self) -> float:
        """Seconds since its device sent something; 0 while an image is in flight."""


class Sessions:
    """Counts sessions. Where there are too many, the one that has been idle longest is sent away.

    It is one of the owner that is over its share, else one of the owner that has most.

    Args:
        limit: of all.
        share: the part that one owner may have.
        on_refused: told whose limit was reached, whenever one is.
    """

    def __init__(self, limit: int, share: float, on_refused: Callable[[str], None]) -> None:
        self._limit = limit
        self._largest = max(1, int(limit * share))
        self._on_refused = on_refused
        self._count = 0
        self._open: dict[str, dict[Listed, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return self._count

    def all(self) -> list[Listed]:
        """Those that are open."""
        return [session for sessions in self._open.values() for session in sessions]

    def add(self, session: Listed) -> None:
        """Count a new session, for which an idle one may be sent away.

        Raises:
            OverShare: its owner has too many, and none of them is idle.
            Overloaded: there are too many, and none is idle of the owner that has most.
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

    def remove(self, session: Listed) -> None:
        """It has ended; no effect if it was sent away before."""
        theirs = self._open.get(session.owner, {})
        if session not in theirs:
            return
        del theirs[session]
        self._count -= 1
        if not theirs:
            del self._open[session.owner]

    def _send_away(self, owner: str) -> bool:
        longest = max(islice(self._open[owner], LOOKED_AT), key=lambda session: session.idle())
        if longest.idle() < IDLE:
            return False
        self.remove(longest)
        longest.go_away("the server needs room for other sessions")
        return True
