"""Bytes on the wire for TCP payload: headers and acknowledgements, estimated from the standards.

Counted are IP packets, as `tc` or a radio's own accounting would count them, without link-layer framing.

- A segment carries at most 1448 bytes of payload and 52 bytes of headers: 20 IPv4 (RFC 791), 20 TCP (RFC
  9293), 12 for padded timestamps (RFC 7323, appendix A), in a packet of 1500 bytes.
- The receiver acknowledges every second segment with an empty one (RFC 5681, section 4.2; RFC 1122,
  4.2.3.2). A single segment is acknowledged by the reply if there is one within 40 ms (Linux's delay), and
  by an empty segment otherwise. Linux acknowledges the first 16 segments of a connection one by one, until
  it sends data itself (`TCP_MAX_QUICKACKS`).
- A connection opens with a SYN and a SYN+ACK of 60 bytes each (20 of options: MSS, SACK, timestamps, window
  scale) and an ACK of 52; it closes with a FIN of 52 bytes in each direction and their acknowledgements.

This is an estimate because the relay's sockets see bytes, not segments: bytes written together are assumed
to travel together.
"""

from dataclasses import dataclass, field

from overtone.link.rate import MTU_PAYLOAD

HEADER = 52
SYN = 60
DELAYED_ACK = 0.04
QUICK_ACKS = 16


def segments(size: int) -> int:
    """How many segments carry `size` bytes; an empty one, such as a FIN, counts too."""
    return max(1, -(-size // MTU_PAYLOAD))


def on_wire(size: int) -> int:
    """Bytes on the wire of `size` bytes of payload that are sent together."""
    return size + HEADER * segments(size)


@dataclass
class Count:
    """One direction: TCP `payload` delivered (counted) and bytes on the `wire` (estimated)."""

    payload: int = 0
    wire: int = 0


@dataclass
class Traffic:
    """The bytes that one connection, or all of them, carried: `upwards` to the target, `downwards` to the clients."""

    peer: str = ""
    upwards: Count = field(default_factory=Count)
    downwards: Count = field(default_factory=Count)

    @property
    def up(self) -> int:
        """Bytes of TCP payload delivered to the target."""
        return self.upwards.payload

    @property
    def down(self) -> int:
        """Bytes of TCP payload delivered to the clients."""
        return self.downwards.payload


class Acks:
    """The empty acknowledgements that the receiver of one direction sends."""

    def __init__(self) -> None:
        self._unacknowledged = 0
        self._since = 0.0
        self._quick = QUICK_ACKS

    def expired(self, now: float) -> float | None:
        """The time at which the delayed acknowledgement was sent; None if its timer has not run out by `now`.

        This is to be called before `arrived`.
        """
        if not self._unacknowledged or now <= self._since + DELAYED_ACK:
            return None
        self._unacknowledged = 0
        return self._since + DELAYED_ACK

    def arrived(self, now: float, count: int) -> int:
        """Note `count` segments; returns the number of empty acknowledgements that are sent at once."""
        quick = min(count, self._quick)
        self._quick -= quick
        immediate, self._unacknowledged = divmod(self._unacknowledged + count - quick, 2)
        self._since = now
        return quick + immediate

    def answered(self) -> None:
        """Note that the receiver sends data, which acknowledges everything so far."""
        self._unacknowledged = self._quick = 0
