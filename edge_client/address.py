"""The address of a server, and how the connection to it is secured."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from overtone.edge_client.errors import UsageError

if TYPE_CHECKING:
    import grpc

PORTS = {"grpc": 50051, "grpcs": 50051, "http": 8080, "https": 443}


@dataclass(frozen=True)
class Tls:
    """PEM files for TLS.

    Attributes:
        authority: the authority to trust; None trusts those of the system.
        certificate: the device's own certificate, where the server asks for one (mutual TLS).
        key: the key of that certificate.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def of(cls, authority: Path | None, certificate: Path | None, key: Path | None) -> "Tls | None":
        """TLS with the files that are given; None if there are none, and it is left to the address."""
        return cls(authority, certificate, key) if authority or certificate else None

    def context(self) -> ssl.SSLContext:
        """The context that HTTP clients take.

        Raises:
            UsageError: a file cannot be used.
        """
        try:
            context = ssl.create_default_context(cafile=self.authority)
        except OSError as error:
            raise UsageError(f"tls: {self.authority}: {_why(error, 'not a certificate in PEM')}") from error
        if self.certificate is not None:
            try:
                context.load_cert_chain(self.certificate, self.key)
            except OSError as error:
                files = " and ".join(str(path) for path in (self.certificate, self.key) if path)
                why = _why(error, "not a certificate and its key in PEM")
                raise UsageError(f"tls: {files}: {why}") from error
        return context

    def credentials(self) -> "grpc.ChannelCredentials":
        """The credentials that gRPC channels take.

        Raises:
            UsageError: a file cannot be used.
        """
        # gRPC itself reads the files at its first handshake only, and its messages about them are long.
        self.context()
        authority, key, certificate = (
            None if path is None else path.read_bytes()
            for path in (self.authority, self.key, self.certificate)
        )
        # Imported here, so that a device that speaks HTTP need not load gRPC.
        import grpc

        return grpc.ssl_channel_credentials(authority, key, certificate)


def _why(error: OSError, otherwise: str) -> str:
    """The system's message about a file; OpenSSL's messages would tell a user nothing."""
    return otherwise if isinstance(error, ssl.SSLError) else str(error.strerror)


@dataclass(frozen=True)
class Address:
    """A server's address in its parts."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Parse "grpc://host:50051", "grpcs://", "http://host:8080" or "https://"; the port may be left out.

        Raises:
            UsageError: the text is none of these.
        """
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            port, parts = None, urlsplit("")
        if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
            raise UsageError(f"cannot use the address {text!r}: write grpc://HOST:50051 or http://HOST:8080")
        return cls(parts.scheme, parts.hostname, PORTS[parts.scheme] if port is None else port)

    @property
    def secure(self) -> bool:
        """Whether the connection uses TLS."""
        return self.scheme in ("grpcs", "https")

    @property
    def is_grpc(self) -> bool:
        """Whether the server is asked over gRPC, and not over REST."""
        return self.scheme.startswith("grpc")

    @property
    def target(self) -> str:
        """The host and the port, as "host:port"."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.target}"
