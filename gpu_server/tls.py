"""TLS of gRPC and HTTP: certificates that can be replaced while the server runs, and the names in clients' ones."""

import logging
import ssl
from collections.abc import Iterable, Mapping
from typing import Any

import grpc

from overtone.gpu_server.errors import StartError
from overtone.gpu_server.settings import Settings

log = logging.getLogger(__name__)


class ServerTls:
    """The certificate, key and authorities that the settings name, as their files were when last read.

    Raises:
        StartError: a file cannot be used; the message names its setting.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context: ssl.SSLContext
        self._configuration: Any
        self.reload()

    def reload(self) -> None:
        """Read the files again; open connections keep the certificate that they began with.

        Raises:
            StartError: a file cannot be used; everything stays as it was.
        """
        check_tls(self._settings)
        context, configuration = _context(self._settings), _configuration(self._settings)
        self._context, self._configuration = context, configuration

    def http_context(self) -> ssl.SSLContext:
        """A context for asyncio, which keeps it for as long as it listens."""
        listening = _context(self._settings)

        def use_newest(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            connection.context = self._context

        # Called at every handshake, whether or not the client names the server.
        listening.sni_callback = use_newest
        return listening

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Credentials with which gRPC asks for the newest files at every handshake."""
        required = self._settings.tls_client_ca is not None
        return grpc.dynamic_ssl_server_credentials(self._configuration, lambda: self._configuration, required)


def check_tls(settings: Settings) -> None:
    """Check the files, because gRPC would report errors at length, or only at every handshake.

    Raises:
        StartError: a file cannot be used; the message names its setting.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return
    certificates = [("OVERTONE_TLS_CERTIFICATE", certificate)]
    if settings.tls_client_ca is not None:
        certificates.append(("OVERTONE_TLS_CLIENT_CA", settings.tls_client_ca))
    for name, path in (*certificates, ("OVERTONE_TLS_KEY", key)):
        try:
            path.open("rb").close()
        except OSError as error:
            raise StartError(f"{name} {path}: {error.strerror}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name, path in certificates:
        try:
            context.load_verify_locations(path)
        except ssl.SSLError as error:
            raise StartError(f"{name} {path}: not a certificate in PEM") from error
    try:
        # An empty password, so that a locked key is an error and nobody is asked for a password.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise StartError(
            f"OVERTONE_TLS_KEY {key}: not the key of {certificate}, in PEM and without a password"
        ) from error


def _context(settings: Settings) -> ssl.SSLContext:
    assert settings.tls_certificate is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.tls_certificate, settings.tls_key, password="")
    if settings.tls_client_ca is not None:
        context.load_verify_locations(settings.tls_client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        # A ticket would let its client in again without a certificate, even if that is no longer accepted.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    return context


def _configuration(settings: Settings) -> Any:
    assert settings.tls_certificate is not None
    assert settings.tls_key is not None
    pair = (settings.tls_key.read_bytes(), settings.tls_certificate.read_bytes())
    authority = settings.tls_client_ca
    return grpc.ssl_server_certificate_configuration([pair], authority and authority.read_bytes())


def name_of_peer(connection: ssl.SSLObject | None) -> str | None:
    """The name in the client certificate of a TLS connection; None without a certificate."""
    certificate = connection.getpeercert() if connection is not None else None
    if not certificate:
        return None
    subject: Iterable[Any] = certificate.get("subject", ())
    common = [value for part in subject for key, value in part if key == "commonName"]
    others: Iterable[Any] = certificate.get("subjectAltName", ())
    return next(iter([*common, *(value for _, value in others)]), "unnamed")


def name_of_grpc_peer(context: Mapping[str, Iterable[bytes]]) -> str | None:
    """The name in the client certificate of a gRPC call, by the call's `auth_context`; None without a certificate."""
    if "x509_pem_cert" not in context:
        return None
    names = [*context.get("x509_common_name", ()), *context.get("x509_subject_alternative_name", ())]
    return next((name.decode(errors="replace") for name in names), "unnamed")
