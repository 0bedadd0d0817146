"""From TCP payload to bytes on the air: what a modem sends for it, estimated as the standards have it.

Counted is IP: what a radio or a `tc` of its own accounts for, without the radio's own framing.

- A segment is at most 1448 bytes of payload and 52 of headers: 20 IPv4 (RFC 791), 20 TCP (RFC 9293), 12
  timestamps with their padding (RFC 7323, and appendix A there), in a packet of 1500.
- The receiver acknowledges every second segment with an empty one (RFC 5681, section 4.2; RFC 1122,
  4.2.3.2). A lone segment is acknowledged by the answer if there is one within 40 ms, which is Linux's
  delay, or by an empty one then. Linux acknowledges the first 16 segments of a connection one by one, until
  it answers (`TCP_MAX_QUICKACKS`).
- A connection opens with SYN and SYN+ACK of 60 bytes (20 of options: size, SACK, timestamps, window scale)
  and an ACK of 52, and closes with a FIN of 52 each way and their acknowledgements.
- A lost segment is on the air as often as it is sent.

Estimated, not counted, because the relay's sockets show bytes and not segments: writes that come together are
taken for one segment. `python -m overtone.benchmarks.link.kernel` prints the estimate beside the kernel's count.
"""

from dataclasses import dataclass, field

from overtone.benchmarks.link.rate import MTU_PAYLOAD

HEADER = 52
SYN = 60
DELAYED_ACK = 0.04
QUICK_ACKS = 16


def segments(size: int) -> int:
    """How many segments carry `size` bytes; an empty one, such as a FIN, is one too."""
    return max(1, -(-size // MTU_PAYLOAD))


def on_air(size: int) -> int:
    """Bytes on the air of `size` bytes of payload that are sent together."""
    return size + HEADER * segments(size)


@dataclass
class Count:
    """One direction: TCP `payload` delivered, bytes on the `air` (estimated), segments sent `again`."""

    payload: int = 0
    air: int = 0
    again: int = 0


@dataclass
class Traffic:
    """What a connection, or all of them, carried: `up` from those who connected, `down` to them."""

    peer: str = ""
    upwards: Count = field(default_factory=Count)
    downwards: Count = field(default_factory=Count)

    @property
    def up(self) -> int:
        """Bytes of TCP payload delivered to the target: counted."""
        return self.upwards.payload

    @property
    def down(self) -> int:
        """Bytes of TCP payload delivered to those who connected: counted."""
        return self.downwards.payload

    @property
    def air_up(self) -> int:
        """Bytes on the air towards the target, headers and acknowledgements with them: estimated."""
        return self.upwards.air

    @property
    def air_down(self) -> int:
        """Bytes on the air from the target: estimated."""
        return self.downwards.air

    @property
    def again(self) -> int:
        """Segments that had to be sent again, both directions."""
        return self.upwards.again + self.downwards.again


class Acks:
    """The empty acknowledgements that one direction's receiver sends."""

    def __init__(self) -> None:
        self._unacknowledged = 0
        self._since = 0.0
        self._quick = QUICK_ACKS

    def lapsed(self, now: float) -> float | None:
        """When the one that waited for an answer left by itself, if it has since; ask this first."""
        if not self._unacknowledged or now <= self._since + DELAYED_ACK:
            return None
        self._unacknowledged = 0
        return self._since + DELAYED_ACK

    def arrived(self, now: float, count: int) -> int:
        """`count` segments have arrived; how many empty acknowledgements leave at once."""
        quick = min(count, self._quick)
        self._quick -= quick
        leave, self._unacknowledged = divmod(self._unacknowledged + count - quick, 2)
        self._since = now
        return quick + leave

    def answered(self) -> None:
        """The receiver sends data, which acknowledges what has come."""
        self._unacknowledged = self._quick = 0
