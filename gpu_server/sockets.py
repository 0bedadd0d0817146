"""Listening sockets on all addresses of a host, and warnings about ports that others can reach unprotected."""

import ipaddress
import socket

from overtone.gpu_server.errors import StartError
from overtone.gpu_server.settings import Settings

# All addresses of this machine, of either family.
WILDCARDS = ("0.0.0.0", "::")
# Connections that may wait to be accepted.
BACKLOG = 2048


def addresses(host: str) -> tuple[str, ...]:
    """The addresses to listen on for the setting `host`; gRPC and HTTP listen on the same ones.

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
    """Listening sockets on all addresses of a host, with one port number.

    Args:
        host: as of `addresses`.
        port: 0 means any free port.
        protocol: for the message of an error.
        shared: whether other processes may listen on the same port (SO_REUSEPORT).

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


def format_address(host: str, port: int) -> str:
    """Host and port as in URLs: an IPv6 address is put in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listener(address: str, port: int, protocol: str, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=BACKLOG, reuse_port=shared)
    except OSError as error:
        why = str(error.strerror).partition(" (while ")[0]  # create_server repeats the address there
        raise StartError(f"cannot listen on {format_address(address, port)} for {protocol}: {why}") from error


def exposure_warnings(settings: Settings) -> list[str]:
    """Warnings about ports that other machines can reach and that ask for no token, or for one without encryption."""
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
        f"everybody who can reach {format_address(settings.admin_host, settings.admin_port)} may {may}; "
        "set OVERTONE_TOKENS_FILE to let in only tokens of administrators (overtone token NAME --role monitor)"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
