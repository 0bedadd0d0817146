"""Responses that are compressed for clients that accept it."""

from collections.abc import Mapping

from fastapi import Request, Response


def compressible(
    request: Request, content: bytes, gzipped: bytes | None, headers: Mapping[str, str]
) -> Response:
    """The content, compressed if it is there in that form and the client accepts it."""
    fields = {**headers, "vary": "accept-encoding"}
    if gzipped is None or not _accepts_gzip(request):
        return Response(content, headers=fields)
    return Response(gzipped, headers=fields | {"content-encoding": "gzip"})


def _accepts_gzip(request: Request) -> bool:
    """By its `Accept-Encoding` (RFC 9110, section 12.5.3)."""
    for coding in request.headers.get("accept-encoding", "").split(","):
        name, _, weight = coding.partition(";")
        if name.strip().lower() == "gzip":
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
