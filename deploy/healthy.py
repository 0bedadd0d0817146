"""Check whether a service answers, for a container's health check: `python healthy.py ADDRESS`.

`http://HOST:PORT/PATH` has to answer with 200. At `grpc://HOST:PORT` an HTTP/2 server has to send its first frame,
which a relay in front of it cannot do in its place. `https` and `grpcs` are the same with TLS; certificates are not
verified, because a container checks itself. The script is started every few seconds, so it imports only the standard
library.
"""

import socket
import ssl
import sys
import urllib.request
from urllib.parse import urlsplit

SECONDS = 4.0
# RFC 9113, 3.4: the client's preface and an empty SETTINGS frame; the server's first frame is SETTINGS too.
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
FRAME_HEADER, TYPE, SETTINGS = 9, 3, 4


def check(address: str) -> None:
    """Check once.

    Raises:
        OSError: nothing answers, or not with 200.
        ValueError: the answer is not HTTP/2, or the address cannot be read.
    """
    scheme = urlsplit(address).scheme
    if scheme in ("http", "https"):
        urllib.request.urlopen(address, timeout=SECONDS, context=_unverified()).close()
    elif scheme in ("grpc", "grpcs"):
        _connect(address, secure=scheme == "grpcs")
    else:
        raise ValueError(f"{address}: begin with http://, https://, grpc:// or grpcs://")


def _connect(address: str, secure: bool) -> None:
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname or "", parts.port or 0), SECONDS) as plain:
        connection = _unverified("h2").wrap_socket(plain) if secure else plain
        with connection:
            connection.sendall(GREETING)
            header = b""
            while len(header) < FRAME_HEADER and (more := connection.recv(FRAME_HEADER - len(header))):
                header += more
    if len(header) < FRAME_HEADER or header[TYPE] != SETTINGS:
        raise ValueError(f"{address}: no HTTP/2 server answers")


def _unverified(*protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    return context


if __name__ == "__main__":
    try:
        check(sys.argv[1])
    except (OSError, ValueError) as problem:
        sys.exit(f"{sys.argv[1]}: {problem}")
