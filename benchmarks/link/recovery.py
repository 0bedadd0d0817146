"""When a TCP sender sends a lost segment again.

It learns of a loss in one of two ways.

- Three later segments have arrived, and each was answered with the same acknowledgement: fast retransmit
  (RFC 5681, section 3.2), about one round trip after the loss. That needs enough to follow the lost segment.
- Nothing came back for the retransmission timeout, which doubles with each further loss of the same segment
  (RFC 6298, section 5.5). The timeout is the smoothed round trip and four times its variation, at least 200
  ms above it as Linux has it (`tcp_rto_min`; RFC 6298 says one second in all, and no system keeps to that).

Either way everything behind the lost segment waits at the receiver, because TCP delivers in order: that
stall is what a program feels. Left out: tail loss probes (RFC 8985), which spare some timeouts, and the
congestion window, which would be halved (RFC 5681): on a thin link the modem's queue keeps the link busy all
the same.
"""

DUPLICATES = 3
LEAST = 0.2
MOST = 120.0  # Linux's TCP_RTO_MAX; RFC 6298, section 2.5 wants at least 60


class RoundTrip:
    """The sender's idea of the round trip (RFC 6298, section 2), and the timeout it gives."""

    def __init__(self, first: float) -> None:
        self._smoothed = first
        self._variation = first / 2

    def measured(self, seconds: float) -> None:
        """One more measurement; never of a segment that was sent twice (Karn, section 3)."""
        self._variation += (abs(self._smoothed - seconds) - self._variation) / 4
        self._smoothed += (seconds - self._smoothed) / 8

    def timeout(self, losses: int = 0) -> float:
        """Seconds until a segment that was sent again `losses` times already is sent once more."""
        return min(MOST, (self._smoothed + max(LEAST, 4 * self._variation)) * 2.0**losses)
