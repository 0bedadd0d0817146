"""What can be set about a server: arguments, or the environment with the prefix ``OVERTONE_``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

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
    """Everything about one server; times are in seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="OVERTONE_", frozen=True, extra="forbid")

    model: str = Field(
        default="imagenette", min_length=1, description="a bundled checkpoint's name, or a path"
    )
    host: str = "127.0.0.1"
    grpc_port: Port = Field(default=50051, description="0 takes a free one")
    http_port: Port = Field(default=8080, description="0 takes a free one")
    tokens: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="any of these is let in; none: everybody is"
    )
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    reflection: bool = True

    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1 ...")
    threads: NonNegativeInt = Field(default=0, description="of the network on the CPU; 0 leaves it to torch")
    decoders: PositiveInt = Field(default=2, description="threads that decode payloads and pictures")
    batch_sizes: Annotated[tuple[PositiveInt, ...], NoDecode] = Field(
        default=(), description="warmed sizes; none: by device"
    )
    max_wait_ms: float = Field(
        default=0.0, ge=0, le=10, description="wait for company when the device is idle"
    )
    cuda_graphs: bool = True

    low_queue: PositiveInt = 256
    high_queue: PositiveInt = 256
    deadline: PositiveFloat = Field(default=10.0, description="most time one stage may take, queue included")
    brownout: NonNegativeFloat = Field(
        default=1.0, description="backlog above which the low answer is given instead of asking"
    )

    state_bytes: PositiveInt = Field(
        default=64 * MIB, description="low payloads and half-sent high ones, of all devices"
    )
    state_ttl: PositiveFloat = 30.0
    credits: PositiveInt = Field(default=16, description="images one session may have in flight")
    max_sessions: PositiveInt = 4096
    linger: NonNegativeFloat = Field(
        default=1.0, description="after go_away, how long a session still listens"
    )
    session_age: PositiveFloat = Field(
        default=900.0, description="after which a session is asked to connect again"
    )

    max_payload_bytes: PositiveInt = 256 * KIB
    max_picture_bytes: PositiveInt = 8 * MIB
    max_picture_pixels: PositiveInt = 24_000_000
    body_bytes: PositiveInt = Field(default=256 * MIB, description="HTTP bodies held, in all")
    body_timeout: PositiveFloat = Field(default=120.0, description="most time one HTTP body may take to come")
    max_top: PositiveInt = 100

    pause: NonNegativeFloat = Field(
        default=0.5, description="between not being ready and refusing, for load balancers"
    )
    drain: NonNegativeFloat = Field(
        default=10.0, description="most time given to what is in flight when stopping"
    )

    @field_validator("tokens", "batch_sizes", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """A comma-separated text, as an environment variable holds it."""
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
    """Settings from these arguments and the environment.

    Raises:
        ValueError: one does not fit; in one line that names it as it was given.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        # None where it is about several of them.
        names = [_said(str(name), given) for name in first["loc"][:1]]
        raise ValueError(": ".join([*names, first["msg"].removeprefix("Value error, ")])) from None


def _said(name: str, given: Mapping[str, Any]) -> str:
    """A setting as people write it: the option of `overtone serve`, or the variable."""
    if name not in given:
        return f"OVERTONE_{name.upper()}"
    return "--token" if name == "tokens" else f"--{name.replace('_', '-')}"
