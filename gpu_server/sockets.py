"""What both faces listen with, tried before they do: a port that is free, and TLS files that fit."""

import socket
import ssl

from overtone.gpu_server.errors import StartError
from overtone.gpu_server.settings import Settings


def listener(host: str, port: int, protocol: str) -> socket.socket:
    """A socket that listens.

    Raises:
        StartError: the address is not this machine's, or the port is taken; named for `protocol`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        why = str(error.strerror).partition(" (while ")[0]  # create_server adds the address again
        raise StartError(f"cannot listen on {at} for {protocol}: {why}") from error


def check_tls(settings: Settings) -> None:
    """Find what gRPC would only complain of at length, or at every handshake.

    Raises:
        StartError: a file of the settings that cannot be used; with its setting's name.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return
    for name, path in (("OVERTONE_TLS_CERTIFICATE", certificate), ("OVERTONE_TLS_KEY", key)):
        try:
            path.open("rb").close()
        except OSError as error:
            raise StartError(f"{name} {path}: {error.strerror}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(certificate)
    except ssl.SSLError as error:
        raise StartError(f"OVERTONE_TLS_CERTIFICATE {certificate}: not a certificate in PEM") from error
    try:
        # With a password it asks nobody for one.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise StartError(
            f"OVERTONE_TLS_KEY {key}: not the key of {certificate}, in PEM and without a password"
        ) from error
