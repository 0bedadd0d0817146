"""Checks before a server listens: a free port, usable TLS files, and who could reach it."""

import ipaddress
import socket
import ssl

from overtone.gpu_server.errors import StartError
from overtone.gpu_server.settings import Settings

# All addresses of this machine, of either family.
WILDCARDS = ("0.0.0.0", "::")
# Connections that may wait to be accepted.
BACKLOG = 2048


def addresses(host: str) -> tuple[str, ...]:
    """The addresses to listen on for a host as it is given; both faces listen on the same ones.

    A name stands for all of its addresses, and "0.0.0.0" and "::" for those of both families, as in gRPC.

    Raises:
        StartError: it is no address and no known name.
    """
    if host in WILDCARDS:
        return WILDCARDS if socket.has_dualstack_ipv6() else ("0.0.0.0",)
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise StartError(f"cannot listen on {host}: {error.strerror}") from error
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def listeners(host: str, port: int, protocol: str, *, shared: bool = False) -> list[socket.socket]:
    """Listening sockets on all addresses of a host, with the same port, which other processes may have too if `shared`.

    Raises:
        StartError: an address is not this machine's, or the port is taken; the message names `protocol`.
    """
    opened: list[socket.socket] = []
    try:
        for address in addresses(host):
            opened.append(_listener(address, port, protocol, shared))
            port = int(opened[0].getsockname()[1])
    except StartError:
        for each in opened:
            each.close()
        raise
    return opened


def written(host: str, port: int) -> str:
    """An address as people and URLs write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listener(address: str, port: int, protocol: str, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=BACKLOG, reuse_port=shared)
    except OSError as error:
        why = str(error.strerror).partition(" (while ")[0]  # create_server repeats the address there
        raise StartError(f"cannot listen on {written(address, port)} for {protocol}: {why}") from error


def exposure(settings: Settings) -> list[str]:
    """Warnings if other machines can reach a port of the server that does not protect itself."""
    return [warning for warning in (_exposed_api(settings), _exposed_administration(settings)) if warning]


def _exposed_api(settings: Settings) -> str | None:
    if _is_loopback(settings.host):
        return None
    if not (settings.tokens or settings.tokens_file or settings.tls_client_ca):
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


def _exposed_administration(settings: Settings) -> str | None:
    if settings.admin_port is None or _is_loopback(settings.admin_host) or settings.tokens_file is not None:
        return None
    may = "read metrics" if settings.models is None else "read metrics, and load and unload models"
    return (
        f"everybody who can reach {written(settings.admin_host, settings.admin_port)} may {may}; "
        "set OVERTONE_TOKENS_FILE to let in only tokens of administrators (overtone token NAME --role monitor)"
    )


def check_tls(settings: Settings) -> None:
    """Find errors that gRPC would report at length, or only at every handshake.

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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
