"""Names of peers by their addresses, as limits per peer use them."""

import ipaddress
from urllib.parse import unquote

# An IPv6 client usually has a whole network of this size, from which it may take any address.
IPV6_NETWORK = 64


def peer_of(host: str) -> str:
    """The name of the peer at an address: an IPv4 address, an IPv6 network, or whatever else the address is."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address.is_loopback:
        return str(address)
    return str(ipaddress.ip_network((address, IPV6_NETWORK), strict=False))


def endpoint_of(grpc_peer: str) -> tuple[str, int]:
    """Host and port of a peer as gRPC writes it, "ipv4:192.0.2.1:50123" or "ipv6:%5B2001:db8::1%5D:50123"."""
    _, _, address = unquote(grpc_peer).partition(":")
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port) if port.isdigit() else 0
