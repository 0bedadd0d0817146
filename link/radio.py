"""A model of the energy of a device's radio, from the times that it sends, receives, listens and waits for its timer.

While an exchange lasts, the radio is connected: it sends, receives, or listens for the reply. After the last byte it
stays connected, the *tail*, until the network's inactivity timer releases it. Discontinuous reception is off (neither
connected DRX nor eDRX), so listening costs what receiving costs. Then it is idle. Connecting again (random access,
signalling) is not in the model; it is the same for every payload.

Sources of the figures. None of these documents could be opened when they were entered, so check them, or enter
those of your own module, before quoting a joule; a sweep's plan takes others, see `overtone.benchmarks.sweep.plan`.

- `nb-iot` and `lte-m`: a module of 23 dBm with its amplifier integrated, as in the battery-life evaluation of 3GPP
  TR 45.820 (NB-IoT): 545 mW sending, 90 mW receiving, 2.4 mW idle. Two models by others were compared: 545, 90 and
  3 mW (github.com/peteryej/LoRaWAN-NBIoTEnergyModels, in comments of its NBIoTEnergyModel/config.py) and 543, 90 and
  2.4 mW (github.com/ReinstatedSamit/Modeling_IoT_tech, which names no document). LTE-M is assumed to take as much,
  having the same class of output power. The timer of 10 s is the first model's; networks choose their own.
- `3g`: a phone, from the linear model of Huang et al., "A Close Examination of Performance and Power Characteristics
  of 4G LTE Networks", MobiSys 2012: 817.88 mW and 868.98 mW per Mbit/s up or 122.12 mW per Mbit/s down, here of
  1 Mbit/s each way; a tail (DCH) of 803.9 mW for 8.088 s. Its power when idle is left out.

There are none for other links: a satellite terminal or an access point at home is seldom on a battery.
"""

import math
from dataclasses import dataclass, fields
from typing import Self

from overtone.link.profiles import LinkProfile
from overtone.link.rate import UnitError


@dataclass(frozen=True)
class Exchange:
    """The times that one image occupies the radio, in seconds.

    Attributes:
        sending, receiving: the time that the bytes on the wire take at the link's rates.
        seconds: from the first byte sent to the answer.
    """

    sending: float
    receiving: float
    seconds: float

    @classmethod
    def over(cls, link: LinkProfile, up: float, down: float, seconds: float) -> Self:
        """The exchange of `up` and `down` bytes on the wire, headers and acknowledgements included."""
        return cls(up / link.up.bytes, down / link.down.bytes, seconds)

    @property
    def listening(self) -> float:
        """The rest, in which the radio waits."""
        return max(0.0, self.seconds - self.sending - self.receiving)


@dataclass(frozen=True)
class Radio:
    """The power a radio takes in each of its states, in milliwatts, and the length of its tail.

    Attributes:
        sending, receiving: while bytes cross the air.
        connected: while it listens, within an exchange or in the tail.
        tail: seconds for which it stays connected after an exchange.
        idle: when it has been released; None where it is not known.

    Raises:
        UnitError: a figure that is negative or not finite.
    """

    sending: float
    receiving: float
    connected: float
    tail: float
    idle: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not 0 <= value < math.inf:
                raise UnitError(f"a radio's {field.name} must be zero or more, got {value}")

    def energy(self, exchange: Exchange, *, tail: bool) -> float:
        """Millijoules of an exchange, with the tail after it or without."""
        return (
            self.sending * exchange.sending
            + self.receiving * exchange.receiving
            + self.connected * (exchange.listening + (self.tail if tail else 0.0))
        )

    def average(self, exchange: Exchange, every: float) -> float | None:
        """Milliwatts if there is such an exchange every so many seconds; None if the power when idle is not known.

        If the next one comes within the tail, the radio is never idle.
        """
        if self.idle is None:
            return None
        rest = max(0.0, every - exchange.seconds)
        tail = min(self.tail, rest)
        spent = self.energy(exchange, tail=False) + self.connected * tail + self.idle * (rest - tail)
        return spent / max(every, exchange.seconds)


_MODULE = Radio(sending=545.0, receiving=90.0, connected=90.0, tail=10.0, idle=2.4)
RADIOS: dict[str, Radio] = {
    "nb-iot": _MODULE,
    "lte-m": _MODULE,
    "3g": Radio(sending=817.88 + 868.98, receiving=817.88 + 122.12, connected=803.9, tail=8.088),
}
