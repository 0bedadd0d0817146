"""The settings of a server, from arguments or from environment variables with the prefix ``OVERTONE_``."""

import os
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

from overtone.gpu_server import environment
from overtone.gpu_server.repository.candidate import Candidate

Port = Annotated[int, Field(ge=0, le=65535)]
Runtime = Literal["auto", "torch"]

KIB = 1024
MIB = 1024 * KIB


class Settings(BaseSettings):
    """Everything about one server. Times are in seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix=environment.PREFIX, frozen=True, extra="forbid", allow_inf_nan=False
    )

    model: str = Field(
        default="photographs", min_length=1, description="name of a bundled checkpoint, or a path"
    )
    models: Path | None = Field(
        default=None,
        description="a folder of NAME.safetensors and NAME/VERSION.safetensors, all of which are served in place of "
        "the model",
    )
    default_model: str = Field(
        default="", description="of the folder, for devices that name none; else it is the first by name"
    )
    canary: Annotated[tuple[Candidate, ...], NoDecode] = Field(
        default=(),
        description="NAME:VERSION=SHARE: versions that get a share of the sessions and requests that name none",
    )
    shadow: Annotated[tuple[Candidate, ...], NoDecode] = Field(
        default=(),
        description="NAME:VERSION=SHARE: versions that judge a share of the images too, to be compared",
    )
    host: str = Field(
        default="127.0.0.1", description="address of both ports; 0.0.0.0 is all of the machine's"
    )
    grpc_port: Port = Field(default=50051, description="0 means any free port")
    http_port: Port = Field(default=8080, description="0 means any free port")
    tokens: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="clients must send one of these; without any, all clients are let in"
    )
    tokens_file: Path | None = Field(
        default=None,
        description="TOML: hashes of more tokens, with names, roles and quotas; see docs/deploy.md",
    )
    tls_certificate: Path | None = Field(default=None, description="PEM, with its chain, of both ports")
    tls_key: Path | None = Field(default=None, description="PEM, of the certificate")
    tls_client_ca: Path | None = Field(
        default=None, description="clients must show a certificate that one of these authorities has signed"
    )
    watch_interval: PositiveFloat = Field(
        default=2.0, description="how often the files of tokens and of TLS are looked at for changes"
    )
    reflection: bool | None = Field(
        default=None, description="none: only where clients need neither a token nor a certificate"
    )
    admin_host: str = Field(
        default="127.0.0.1",
        description="address of the administrators' port, which asks for a token where there is a file of them",
    )
    admin_port: Port | None = Field(
        default=None, description="of /metrics and /docs, which are then here alone; 0 means any free port"
    )
    page: bool = Field(default=True, description="the live page at / of the HTTP port")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least that is logged"
    )
    log_format: Literal["text", "json"] = Field(default="text", description="json: an object a line")
    access_log: bool = Field(default=False, description="a line for every image, call and session")

    workers: NonNegativeInt = Field(
        default=0,
        description="processes that share the ports and have one engine; 1 has everything in one process, "
        "0 is 1 on a CPU, and with CUDA half as many as there are cores, 8 at most",
    )
    device: str = Field(
        default="auto",
        description="auto, cpu, cuda, cuda:1, or several, such as cuda:0,cuda:1; stub answers at once and stub:20 "
        "after 20 ms a batch, for measuring",
    )
    ray: str = Field(
        default="", description="address of a Ray cluster to serve on: auto, or HOST:6379; see docs/deploy.md"
    )
    engines: PositiveInt = Field(default=1, description="with Ray: processes that run batches, at least")
    max_engines: NonNegativeInt = Field(
        default=0, description="with Ray: at most, under load; 0 is as many as `engines`"
    )
    networks: NonNegativeInt = Field(
        default=0, description="batches that run side by side on a CPU; 0 is one a core, 4 at most"
    )
    threads: NonNegativeInt = Field(
        default=0, description="that compute a batch on a CPU; 0 shares the cores among the networks"
    )
    runtime: Runtime = Field(
        default="auto",
        description="of networks on a CPU: auto measures torch and ONNX Runtime when it starts",
    )
    cache: Path | None = Field(
        default=None,
        description="folder in which exports of networks for ONNX Runtime are kept; none: that of the user's caches",
    )
    decoders: PositiveInt = Field(default=2, description="threads that decode payloads")
    image_decoders: PositiveInt = Field(default=1, description="processes that decode JPEG, PNG and WebP")
    image_queue: PositiveInt = Field(default=16, description="images that may be decoded or wait for it")
    batch_sizes: Annotated[tuple[PositiveInt, ...], NoDecode] = Field(
        default=(), description="sizes that are warmed; none: those of the device"
    )
    max_wait_ms: float = Field(
        default=0.0, ge=0, le=10, description="how long an idle network waits for more images"
    )
    cuda_graphs: bool = Field(default=True, description="a recorded graph for each batch size, on a GPU")

    low_queue: PositiveInt = Field(default=256, description="images that may wait for the low network")
    high_queue: PositiveInt = Field(default=256, description="images that may wait for the high network")
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
    state_ttl: PositiveFloat = Field(
        default=30.0, description="how long an unfinished image waits for further layers"
    )
    credits: PositiveInt = Field(default=16, description="images that one session may have in flight")
    max_sessions: PositiveInt = Field(default=4096, description="open sessions, of all devices together")
    max_connections: PositiveInt = Field(
        default=4096, description="of each of the two ports; fewer where the system allows fewer open files"
    )
    header_timeout: PositiveFloat = Field(
        default=20.0, description="limit for the header of one HTTP request to arrive, or for a TLS handshake"
    )
    stream_rate: PositiveFloat = Field(
        default=200.0, description="gRPC streams a second that one address may begin and do nothing with"
    )
    unfinished_bytes: PositiveInt = Field(
        default=64 * MIB, description="of gRPC messages that have not come whole, of all peers together"
    )
    penalty: NonNegativeFloat = Field(
        default=1.0, description="before an HTTP client is told that it alone asks for too much"
    )
    linger: NonNegativeFloat = Field(
        default=1.0, description="how long a session still listens after it was told to go away"
    )
    session_age: PositiveFloat = Field(
        default=900.0, description="after which a session is told to connect again"
    )
    min_ping_interval: PositiveFloat = Field(
        default=30.0, description="idle devices that ping more often are disconnected"
    )

    max_payload_bytes: PositiveInt = Field(default=256 * KIB, description="of one layer")
    max_image_bytes: PositiveInt = Field(default=8 * MIB, description="of one JPEG, PNG or WebP")
    max_image_pixels: PositiveInt = Field(default=24_000_000, description="of one JPEG, PNG or WebP")
    image_pixels: PositiveInt = Field(
        default=96_000_000, description="of all pictures that are decoded or wait for it"
    )
    image_seconds: PositiveFloat = Field(default=10.0, description="limit for decoding one picture")
    image_memory: PositiveInt = Field(
        default=1024 * MIB, description="limit of memory for decoding one picture; there are image_decoders"
    )
    peer_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="part of each limit that one address or token may take; 1 where all come through one proxy",
    )
    body_bytes: PositiveInt = Field(
        default=256 * MIB, description="HTTP bodies held, of all requests together"
    )
    body_timeout: PositiveFloat = Field(default=120.0, description="limit for one HTTP body to arrive")
    max_top: PositiveInt = Field(default=100, description="classes that an answer may carry")

    pause: NonNegativeFloat = Field(
        default=0.5, description="between no longer being ready and refusing, for load balancers"
    )
    drain: NonNegativeFloat = Field(
        default=6.0,
        description="limit for finishing what is in flight when stopping; with it, Docker's ten seconds suffice",
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

    @field_validator("canary", "shadow", mode="before")
    @classmethod
    def _candidates(cls, value: Any) -> Any:
        texts = cls._split(value)
        found = [Candidate.parse(each) if isinstance(each, str) else each for each in texts]
        if len({each.model.name for each in found}) < len(found):
            raise ValueError("a model has one candidate")
        return tuple(found)

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
    def _together(self) -> "Settings":
        if self.models is None and (self.default_model or self.canary or self.shadow):
            raise ValueError("a default model, canaries and shadows need a folder of models: OVERTONE_MODELS")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("TLS needs both OVERTONE_TLS_CERTIFICATE and OVERTONE_TLS_KEY")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("OVERTONE_TLS_CLIENT_CA needs OVERTONE_TLS_CERTIFICATE and OVERTONE_TLS_KEY")
        return self


def read(**given: Any) -> Settings:
    """Settings from these arguments and the environment; arguments that are None count as not given.

    Raises:
        ValueError: a setting is invalid, or a variable is none; the message is one line that names it as it was given.
    """
    environment.check(os.environ, Settings.model_fields)
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
