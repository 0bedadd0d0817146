"""One family of errors; each knows its gRPC code, its HTTP status and, where it helps, when to try again."""

from typing import ClassVar

from grpc import StatusCode


class ServiceError(Exception):
    """Something the service says instead of an answer; the message is for whoever asked."""

    code: ClassVar[StatusCode] = StatusCode.INTERNAL
    http: ClassVar[int] = 500

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    @property
    def number(self) -> int:
        """The code as google.rpc.Code counts it."""
        return int(self.code.value[0])


class NetworkFailed(ServiceError):  # noqa: N818 - these are named after what happened
    """The network raised; every image of its batch gets this one."""


class Overloaded(ServiceError):  # noqa: N818
    """Refused at once because a queue is full."""

    code = StatusCode.RESOURCE_EXHAUSTED
    http = 429


class Unavailable(ServiceError):  # noqa: N818
    """The model is still loading, or the server is about to stop."""

    code = StatusCode.UNAVAILABLE
    http = 503


class Expired(ServiceError):  # noqa: N818
    """The deadline passed before the answer was there."""

    code = StatusCode.DEADLINE_EXCEEDED
    http = 504


class TooSlow(Expired):
    """The body did not come in time."""

    http = 408


class BadRequest(ServiceError):  # noqa: N818
    """A payload, picture or option that cannot be used."""

    code = StatusCode.INVALID_ARGUMENT
    http = 400


class TooLarge(BadRequest):
    """More bytes than the server takes."""

    http = 413


class UnknownMedia(BadRequest):
    """A body of a type the route does not read."""

    http = 415


class WrongProfile(ServiceError):  # noqa: N818
    """Encoded for another model; the device has to fetch this one's profile."""

    code = StatusCode.FAILED_PRECONDITION
    http = 409


class StateLost(ServiceError):  # noqa: N818
    """The low payload is no longer here (or never was, or is another device's): send both."""

    code = StatusCode.ABORTED
    http = 410


class Unauthenticated(ServiceError):  # noqa: N818
    """No token, or one that is not known."""

    code = StatusCode.UNAUTHENTICATED
    http = 401


class ClientDisconnected(ServiceError):  # noqa: N818
    """Whoever asked has gone; nobody reads this one."""

    code = StatusCode.CANCELLED
    http = 499


class StartError(Exception):
    """The server cannot start; the message is one line that says what to do."""
