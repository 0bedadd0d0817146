"""Checks before a server listens: a free port, usable TLS files, and who could reach it."""

import ipaddress
import socket
import ssl

from overtone.gpu_server.errors import StartError
from overtone.gpu_server.settings import Settings


def listener(host: str, port: int, protocol: str, *, shared: bool = False) -> socket.socket:
    """A listening socket, or one of several that share a port between processes.

    Raises:
        StartError: the address is not this machine's, or the port is taken; the message names `protocol`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048, reuse_port=shared)
    except OSError as error:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        why = str(error.strerror).partition(" (while ")[0]  # create_server repeats the address there
        raise StartError(f"cannot listen on {address} for {protocol}: {why}") from error


def exposure(settings: Settings) -> str | None:
    """A warning if other machines can reach the server and it does not protect itself; else None."""
    if _is_loopback(settings.host):
        return None
    if not settings.tokens:
        return (
            f"everybody who can reach {settings.host} may use this server; "
            "set --token or OVERTONE_TOKENS to let in only those who know a token"
        )
    if settings.tls_certificate is None:
        return (
            f"tokens are sent to {settings.host} unencrypted; set OVERTONE_TLS_CERTIFICATE and OVERTONE_TLS_KEY, "
            "or put a proxy with TLS in front"
        )
    return None


def check_tls(settings: Settings) -> None:
    """Find errors that gRPC would report at length, or only at every handshake.

    Raises:
        StartError: a file cannot be used; the message names its setting.
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
        # An empty password, so that a locked key is an error and nobody is asked for a password.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise StartError(
            f"OVERTONE_TLS_KEY {key}: not the key of {certificate}, in PEM and without a password"
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
