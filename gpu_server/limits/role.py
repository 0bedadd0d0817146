"""The roles of tokens. The command line imports this too, so there are no third-party packages in it."""

from enum import StrEnum


class Role(StrEnum):
    """The role of a token: what it permits. Every token has one.

    Attributes:
        DEVICE: the API: images, and descriptions of models.
        MONITOR: what can be read at the administrators' port.
        ADMIN: everything at the administrators' port, loading and unloading of models too.
    """

    DEVICE = "device"
    MONITOR = "monitor"
    ADMIN = "admin"

    def permits(self, needed: "Role") -> bool:
        """Whether a token of this role may do what needs the role `needed`."""
        return self is needed or (self is Role.ADMIN and needed is Role.MONITOR)
