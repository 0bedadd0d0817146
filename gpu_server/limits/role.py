"""The roles of tokens. The command line imports this too, so there are no third-party packages in it."""

from enum import StrEnum


class Role(StrEnum):
    """What a token is for; each has one role.

    Attributes:
        DEVICE: the API: images, and descriptions of models.
        MONITOR: what can be read at the administrators' port.
        ADMIN: everything at the administrators' port, loading and unloading of models too.
    """

    DEVICE = "device"
    MONITOR = "monitor"
    ADMIN = "admin"

    def may(self, needed: "Role") -> bool:
        """Whether a token with this role may do what needs another one."""
        return self is needed or (self is Role.ADMIN and needed is Role.MONITOR)
