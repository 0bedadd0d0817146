"""The content codings of responses."""

from fastapi import Request


def takes_gzip(request: Request) -> bool:
    """Whether the client takes a response compressed as gzip, by its `Accept-Encoding` (RFC 9110, section 12.5.3)."""
    for coding in request.headers.get("accept-encoding", "").split(","):
        name, _, weight = coding.partition(";")
        if name.strip().lower() == "gzip":
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
