"""What a client raises: one family, each message saying what to do."""

from typing import ClassVar


class OvertoneError(Exception):
    """Base of everything this package raises.

    Attributes:
        code: the gRPC status name it stands for.
        what: what happened, without what to do about it.
        retry_after: seconds after which the server would like to be asked again, if it said so.
    """

    code: ClassVar[str] = "UNKNOWN"
    advice: ClassVar[str] = ""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.what = message.rstrip(".")
        super().__init__(f"{self.what}; {self.advice}" if self.advice else message)
        self.retry_after = retry_after


class UsageError(OvertoneError, ValueError):
    """An address, an option or a file of the caller's that makes no sense."""

    code = "INVALID_ARGUMENT"


class BadPicture(OvertoneError):  # noqa: N818 - these are named after what happened
    """A source that is not a picture, or one that cannot be encoded."""

    code = "INVALID_ARGUMENT"


class BadPayload(OvertoneError):  # noqa: N818
    """The server could not use what was sent: a payload or an option."""

    code = "INVALID_ARGUMENT"
    advice = "check operating_point, top and quality, and that client and server are of the same version"


class WrongProfile(OvertoneError):  # noqa: N818
    """Encoded for another model than is served, and fetching the profile again did not help."""

    code = "FAILED_PRECONDITION"
    advice = "the server may be changing its model: connect again"


class Unauthenticated(OvertoneError):  # noqa: N818
    """No token, or one the server does not know."""

    code = "UNAUTHENTICATED"
    advice = "give a token the server was started with (token=, or --token)"


class Refused(OvertoneError):  # noqa: N818
    """The server has too much to do; see `retry_after`."""

    code = "RESOURCE_EXHAUSTED"
    advice = "send fewer images at a time, or try again later"


class Unavailable(OvertoneError):  # noqa: N818
    """No server answers, or it is starting or stopping."""

    code = "UNAVAILABLE"
    advice = "check the address, and that `overtone serve` is running there"


class ConnectionLost(Unavailable):
    """The connection went while an image was under way, and once more when it was sent again."""

    advice = "check the link and the server, then send the image again"


class DeadlineExceeded(OvertoneError):  # noqa: N818
    """No answer in time."""

    code = "DEADLINE_EXCEEDED"
    advice = "raise the timeout, send fewer images at a time, or check the link"


class ServerFailed(OvertoneError):  # noqa: N818
    """Something went wrong inside the server."""

    code = "INTERNAL"
    advice = "look into the server's log"


class ProtocolError(OvertoneError):
    """The other side does not speak Overtone, or breaks its rules."""

    code = "INTERNAL"
    advice = "check that the address is an Overtone server of this version, and the port that of the scheme"


_BY_CODE: dict[str, type[OvertoneError]] = {
    "INVALID_ARGUMENT": BadPayload,
    "OUT_OF_RANGE": BadPayload,
    "NOT_FOUND": ProtocolError,
    "FAILED_PRECONDITION": WrongProfile,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": Unauthenticated,
    "RESOURCE_EXHAUSTED": Refused,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNIMPLEMENTED": ProtocolError,
}


def from_code(code: str, message: str, retry_after: float | None = None) -> OvertoneError:
    """The error for a gRPC status name, with the server's own words in it."""
    kind = _BY_CODE.get(code, ServerFailed)
    return kind(f"the server says: {message or code}", retry_after or None)
