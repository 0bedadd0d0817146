"""The exceptions of the service, each with a gRPC code and an HTTP status, which the transports send to clients."""

from typing import ClassVar

from grpc import StatusCode


class ServiceError(Exception):
    """An error that is sent to the client instead of an answer.

    Args:
        message: a sentence for the client.
        retry_after: seconds after which another attempt may succeed; None where none will.
    """

    code: ClassVar[StatusCode] = StatusCode.INTERNAL
    http: ClassVar[int] = 500

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    @property
    def number(self) -> int:
        """The code as a number of google.rpc.Code."""
        return int(self.code.value[0])


class NetworkFailed(ServiceError):  # noqa: N818 - these are named after what happened
    """The network failed for this image."""


class Overloaded(ServiceError):  # noqa: N818
    """Refused at once, because a queue or a store is full."""

    code = StatusCode.RESOURCE_EXHAUSTED
    http = 429


class OverQuota(Overloaded):
    """Refused because this client has used up what it may use; there is room for others."""


class OverShare(Overloaded):
    """Refused because this client alone holds too much; there is room for others."""


class Unavailable(ServiceError):  # noqa: N818
    """The model is loading, the network fails, or the server is stopping."""

    code = StatusCode.UNAVAILABLE
    http = 503


class Stopping(Unavailable):
    """No more images are accepted; those that still wait get this error too."""

    def __init__(self) -> None:
        super().__init__("the server accepts no images now; try another one", retry_after=1.0)


class Expired(ServiceError):  # noqa: N818
    """The deadline passed before there was an answer."""

    code = StatusCode.DEADLINE_EXCEEDED
    http = 504


class TooSlow(Expired):
    """The request body did not arrive in time."""

    http = 408


class BadRequest(ServiceError):  # noqa: N818
    """A payload, image or option that cannot be used."""

    code = StatusCode.INVALID_ARGUMENT
    http = 400


class WrongTask(BadRequest):
    """The model has another task than the request."""


class TooLarge(BadRequest):
    """More bytes or pixels than the server accepts."""

    http = 413


class UnknownMedia(BadRequest):
    """A body of a type that the route does not read."""

    http = 415


class UnknownModel(ServiceError):  # noqa: N818
    """The server has no model of this name or version."""

    code = StatusCode.NOT_FOUND
    http = 404


class WrongProfile(ServiceError):  # noqa: N818
    """Encoded for another model; the device has to fetch the profile of this one."""

    code = StatusCode.FAILED_PRECONDITION
    http = 409


class StateLost(ServiceError):  # noqa: N818
    """The layers before are no longer here, never were, or belong to somebody else: send all layers again."""

    code = StatusCode.ABORTED
    http = 410


class OutdatedClient(ServiceError):  # noqa: N818
    """The client speaks an earlier protocol."""

    code = StatusCode.FAILED_PRECONDITION
    http = 426

    def __init__(self) -> None:
        super().__init__("this server speaks overtone.v2; update the client")


class Unauthenticated(ServiceError):  # noqa: N818
    """No token, or an unknown one."""

    code = StatusCode.UNAUTHENTICATED
    http = 401


class Forbidden(ServiceError):  # noqa: N818
    """A known token, which is for something else."""

    code = StatusCode.PERMISSION_DENIED
    http = 403


class ClientDisconnected(ServiceError):  # noqa: N818
    """The client has disconnected; the error only ends its request."""

    code = StatusCode.CANCELLED
    http = 499


class StartError(Exception):
    """The server cannot start; the message is one line that says what to do."""


def too_late() -> Expired:
    """The error of an image that misses its deadline."""
    return Expired("the deadline passed before the answer was there")


def overloaded(wait: float) -> Overloaded:
    """The error of an image that is refused because too many wait; `wait` is the seconds until there may be room."""
    return Overloaded("the server is full; try again later", retry_after=min(max(wait, 0.1), 30.0))


def network_failed() -> NetworkFailed:
    """The error of the images of a batch that failed."""
    return NetworkFailed("the network failed; this image may be tried once more")


def network_down(wait: float) -> Unavailable:
    """The error of all images while every batch fails; `wait` is the seconds until the network is tested again."""
    return Unavailable("the network fails; try another server", retry_after=wait)
