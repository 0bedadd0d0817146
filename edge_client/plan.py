"""Which layers of an image are sent without being asked for, and how."""

from dataclasses import dataclass
from typing import Literal

Policy = Literal["auto", "on_demand", "ahead", "at_once"]
PlanName = Literal["on_demand", "together", "ahead", "at_once"]


@dataclass(frozen=True)
class Plan:
    """The layers of one image that are sent before the server has replied.

    Attributes:
        together: how many layers the first message holds.
        unasked: up to which layer the rest follows without being asked for; `together` if none does.
        promised: whether what follows is promised, so that the server does not ask for it, and is sent as soon as
            possible. Otherwise it follows in chunks, as the link has room for them and until the answer comes.
    """

    together: int = 1
    unasked: int = 1
    promised: bool = False

    @property
    def name(self) -> PlanName:
        """The plan's name; `together` if the only layers that are sent unasked are in the first message."""
        if self.unasked > self.together:
            return "at_once" if self.promised else "ahead"
        return "together" if self.together > 1 else "on_demand"


ON_DEMAND = Plan()


def ahead(layers: int) -> Plan:
    """The plan by which all further layers flow until the answer comes."""
    return Plan(unasked=layers)


def at_once(layers: int) -> Plan:
    """The plan by which all further layers are promised and sent."""
    return Plan(unasked=layers, promised=layers > 1)


def together(layers: int) -> Plan:
    """The plan by which so many layers are sent in the first message, and more are asked for."""
    return Plan(layers, layers)
