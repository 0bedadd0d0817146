import pytest

from overtone.gpu_server.limits.peers import endpoint_of, peer_of


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("/run/overtone.sock", "/run/overtone.sock"),
        ("", ""),
    ],
)
def test_an_ipv6_peer_is_a_network(host: str, peer: str) -> None:
    assert peer_of(host) == peer


def test_endpoints_as_grpc_writes_them() -> None:
    assert endpoint_of("ipv4:192.0.2.1:50123") == ("192.0.2.1", 50123)
    assert endpoint_of("ipv6:%5B2001:db8::1%5D:50123") == ("2001:db8::1", 50123)
    assert endpoint_of("unix:/run/overtone.sock")[1] == 0
