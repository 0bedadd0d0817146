"""The settings of a server, from arguments or from environment variables with the prefix ``OVERTONE_``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Port = Annotated[int, Field(ge=0, le=65535)]

KIB = 1024
MIB = 1024 * KIB


class Settings(BaseSettings):
    """Everything about one server. Times are in seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="OVERTONE_", frozen=True, extra="forbid")

    model: str = Field(
        default="photographs", min_length=1, description="name of a bundled checkpoint, or a path"
    )
    host: str = "127.0.0.1"
    grpc_port: Port = Field(default=50051, description="0 means any free port")
    http_port: Port = Field(default=8080, description="0 means any free port")
    tokens: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="clients must send one of these; without any, all clients are let in"
    )
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    reflection: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    workers: NonNegativeInt = Field(
        default=0,
        description="processes that share the ports and have one engine; 1 has everything in one process, "
        "0 is 1 on a CPU, and with CUDA half as many as there are cores, 8 at most",
    )
    device: str = Field(
        default="auto", description="auto, cpu, cuda, cuda:1, or several, such as cuda:0,cuda:1"
    )
    threads: NonNegativeInt = Field(default=0, description="of the network on a CPU; 0 leaves it to torch")
    decoders: PositiveInt = Field(default=2, description="threads that decode payloads")
    image_decoders: PositiveInt = Field(default=1, description="threads that decode JPEG, PNG and WebP")
    image_queue: PositiveInt = Field(default=16, description="images that may be decoded or wait for it")
    batch_sizes: Annotated[tuple[PositiveInt, ...], NoDecode] = Field(
        default=(), description="sizes that are warmed; none: those of the device"
    )
    max_wait_ms: float = Field(
        default=0.0, ge=0, le=10, description="how long an idle network waits for more images"
    )
    cuda_graphs: bool = True

    low_queue: PositiveInt = 256
    high_queue: PositiveInt = 256
    deadline: PositiveFloat = Field(default=10.0, description="limit for one stage, its queue included")
    standing_delay: NonNegativeFloat = Field(
        default=0.2,
        description="for which images may wait in a queue that does not empty: after a quarter of a second of that "
        "no more layers are asked for, after half a second images are refused; 0 leaves it to deadlines and queues",
    )
    brownout: NonNegativeFloat = Field(
        default=1.0,
        description="backlog above which the server gives the answer so far and asks for no more layers at once",
    )
    probe_interval: PositiveFloat = Field(
        default=1.0, description="between tests of a network that fails; the server is not ready meanwhile"
    )

    state_bytes: PositiveInt = Field(
        default=64 * MIB,
        description="what is known of unfinished images and layers arriving, of all devices together",
    )
    state_ttl: PositiveFloat = 30.0
    credits: PositiveInt = Field(default=16, description="images that one session may have in flight")
    max_sessions: PositiveInt = 4096
    linger: NonNegativeFloat = Field(
        default=1.0, description="how long a session still listens after it was told to go away"
    )
    session_age: PositiveFloat = Field(
        default=900.0, description="after which a session is told to connect again"
    )
    min_ping_interval: PositiveFloat = Field(
        default=30.0, description="idle devices that ping more often are disconnected"
    )

    max_payload_bytes: PositiveInt = 256 * KIB
    max_image_bytes: PositiveInt = 8 * MIB
    max_image_pixels: PositiveInt = 24_000_000
    body_bytes: PositiveInt = Field(
        default=256 * MIB, description="HTTP bodies held, of all requests together"
    )
    body_timeout: PositiveFloat = Field(default=120.0, description="limit for one HTTP body to arrive")
    max_top: PositiveInt = 100

    pause: NonNegativeFloat = Field(
        default=0.5, description="between no longer being ready and refusing, for load balancers"
    )
    drain: NonNegativeFloat = Field(
        default=10.0, description="limit for finishing what is in flight when stopping"
    )

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that have a network each."""
        return tuple(name.strip() for name in self.device.split(","))

    @field_validator("tokens", "batch_sizes", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Split a comma-separated text, the form of an environment variable."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("tokens")
    @classmethod
    def _printable(cls, tokens: tuple[str, ...]) -> tuple[str, ...]:
        if any(
            not token or not token.isascii() or not token.isprintable() or " " in token for token in tokens
        ):
            raise ValueError("tokens must be printable ASCII without spaces, and not empty")
        return tokens

    @field_validator("batch_sizes")
    @classmethod
    def _ascending(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if sizes and (sizes[0] != 1 or list(sizes) != sorted(set(sizes))):
            raise ValueError("batch sizes must ascend and begin with 1")
        return sizes

    @model_validator(mode="after")
    def _both_or_neither(self) -> "Settings":
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("TLS needs both OVERTONE_TLS_CERTIFICATE and OVERTONE_TLS_KEY")
        return self


def read(**given: Any) -> Settings:
    """Settings from these arguments and the environment; arguments that are None count as not given.

    Raises:
        ValueError: a setting is invalid; the message is one line that names it as it was given.
    """
    arguments = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**arguments)
    except ValidationError as error:
        first = error.errors()[0]
        # There is no name where an error is about several settings.
        names = [_as_given(str(name), arguments) for name in first["loc"][:1]]
        raise ValueError(": ".join([*names, first["msg"].removeprefix("Value error, ")])) from None


def _as_given(name: str, arguments: Mapping[str, Any]) -> str:
    """The name of a setting as people write it: an option of `overtone serve`, or a variable."""
    if name not in arguments:
        return f"OVERTONE_{name.upper()}"
    return "--token" if name == "tokens" else f"--{name.replace('_', '-')}"
