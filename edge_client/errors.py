"""The errors of the client: one family, whose messages say what to do."""

from typing import ClassVar


class OvertoneError(Exception):
    """Base of everything this package raises.

    Attributes:
        code: the name of the gRPC status that the error stands for.
        what: the message without the advice.
        retry_after: the seconds after which the server wants to be asked again, if it said so.
    """

    code: ClassVar[str] = "UNKNOWN"
    advice: ClassVar[str] = ""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.what = message.rstrip(".")
        super().__init__(f"{self.what}; {self.advice}" if self.advice else message)
        self.retry_after = retry_after


class UsageError(OvertoneError, ValueError):
    """An address, an option or a file that cannot be used."""

    code = "INVALID_ARGUMENT"


class BadImage(OvertoneError):  # noqa: N818 - these errors are named after what happened
    """A source that is not an image, or an image that cannot be encoded."""

    code = "INVALID_ARGUMENT"


class BadPayload(OvertoneError):  # noqa: N818
    """The server could not use a payload or an option."""

    code = "INVALID_ARGUMENT"
    advice = "check operating_point, top and quality, and that client and server have the same version"


class WrongProfile(OvertoneError):  # noqa: N818
    """The image was encoded for another model than the server has, and fetching the profile again did not help."""

    code = "FAILED_PRECONDITION"
    advice = "the server may be changing its model, so connect again"


class WrongTask(OvertoneError):  # noqa: N818
    """The server's model has another task than the request."""

    code = "FAILED_PRECONDITION"
    advice = (
        "ask a detector with `detect` (watch --detect) and other models with `classify`, or name another model "
        "(model=, --model)"
    )


class UnknownModel(OvertoneError):  # noqa: N818
    """The server has no model of this name or version."""

    code = "NOT_FOUND"
    advice = "name one that it has (model=, or --model), or none"


class Unauthenticated(OvertoneError):  # noqa: N818
    """The client gave no token, or one that the server does not know."""

    code = "UNAUTHENTICATED"
    advice = "give a token that the server was started with (token=, or --token)"


class Refused(OvertoneError):  # noqa: N818
    """The server is overloaded; `retry_after` says when to try again."""

    code = "RESOURCE_EXHAUSTED"
    advice = "send fewer images at a time, or try again later"


class Unavailable(OvertoneError):  # noqa: N818
    """No server can be reached, or the server is starting or stopping."""

    code = "UNAVAILABLE"
    advice = "check the address, and that `overtone serve` is running there"


class Unreachable(Unavailable):
    """Nothing at the address takes a connection."""


class Untrusted(OvertoneError):  # noqa: N818
    """The server's certificate was not signed by an authority that the client trusts, or is for another name."""

    code = "UNAVAILABLE"
    advice = (
        "give the authority that signed it (tls=Tls(FILE), or --ca FILE), and use the name that it is for"
    )


class CertificateRequired(OvertoneError):  # noqa: N818
    """The server wants a certificate of the client, and got none that it trusts."""

    code = "UNAVAILABLE"
    advice = "give one (tls=Tls(certificate=, key=), or --certificate and --key)"


class ConnectionLost(Unavailable):
    """The connection broke while an image was in flight, and again each time that the image was sent once more."""

    advice = "check the link and the server, then send the image again"


class DeadlineExceeded(OvertoneError):  # noqa: N818
    """No answer came within the time limit."""

    code = "DEADLINE_EXCEEDED"
    advice = "raise the timeout, send fewer images at a time, or check the link"


class ServerFailed(OvertoneError):  # noqa: N818
    """The server failed."""

    code = "INTERNAL"
    advice = "see the server's log"


class ProtocolError(OvertoneError):
    """The other side does not follow Overtone's protocol."""

    code = "INTERNAL"
    advice = "check that an Overtone server of this version is there, and that the port belongs to the scheme"


class WrongVersion(ProtocolError):  # noqa: N818
    """The server does not speak this version of Overtone's protocol; most likely it speaks another."""

    advice = "install the same version of Overtone on the device and on the server"

    def __init__(self, message: str = "", retry_after: float | None = None) -> None:
        super().__init__(
            "the server does not speak this client's version of Overtone's protocol", retry_after
        )


_BY_CODE: dict[str, type[OvertoneError]] = {
    "INVALID_ARGUMENT": BadPayload,
    "OUT_OF_RANGE": BadPayload,
    "NOT_FOUND": UnknownModel,
    "FAILED_PRECONDITION": WrongProfile,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": Unauthenticated,
    "RESOURCE_EXHAUSTED": Refused,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
}


def from_code(code: str, message: str, retry_after: float | None = None) -> OvertoneError:
    """The error for the name of a gRPC status, with the server's message."""
    if code == "UNIMPLEMENTED":
        return WrongVersion()
    if code == "INVALID_ARGUMENT" and " has the task " in message:
        return WrongTask(f"the server says: {message}")
    kind = _BY_CODE.get(code, ServerFailed)
    return kind(f"the server says: {message or code}", retry_after or None)
