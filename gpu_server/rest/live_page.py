"""The live page: static files with which a browser is the device, in JavaScript and WebAssembly."""

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from importlib.resources.abc import Traversable

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from overtone.gpu_server.rest.encodings import compressible
from overtone.models import sample_photographs

# The page loads nothing from elsewhere, nothing in its HTML is a script or a style, and nobody may frame it.
# Images that a user drops are blobs; WebAssembly has to be allowed by name.
POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    # Kept, and asked for again with its ETag, so that a page never mixes files of two versions.
    "cache-control": "no-cache",
}
INDEX = "index.html"
# Where they lie, by the beginnings of their names: the page, the codec, and the client that is also on npm.
FOLDERS = {
    "": ("overtone.gpu_server", "page"),
    "client/": ("overtone", "javascript/client"),
    "device/": ("overtone.frequency", "wasm"),
}
# What a browser is given: not the C source beside the module.
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
}
# These are small already.
COMPRESSED = frozenset({".jpg"})


@dataclass(frozen=True)
class File:
    """A file as it is served."""

    content: bytes
    packed: bytes | None
    headers: dict[str, str]

    @classmethod
    def read(cls, file: Traversable, suffix: str) -> "File":
        """Read a file."""
        content = file.read_bytes()
        tag = hashlib.sha256(content).hexdigest()[:16]
        headers = HEADERS | {"content-type": KINDS[suffix], "etag": f'"{tag}"', "vary": "accept-encoding"}
        return cls(content, None if suffix in COMPRESSED else gzip.compress(content, mtime=0), headers)

    def response(self, request: Request) -> Response:
        """The file, or that the browser has it already."""
        if self.headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=self.headers)
        return compressible(request, self.content, self.packed, self.headers)


def add_live_page(app: FastAPI) -> None:
    """Add `/`, and the files that it loads below `/page/`; all of them are public, as they say nothing of a server."""
    files = dict(_files())

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index(request: Request) -> Response:
        return files[INDEX].response(request)

    @app.api_route("/page/{name:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(name: str, request: Request) -> Response:
        if name not in files:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return files[name].response(request)


def _files() -> Iterator[tuple[str, File]]:
    """Names below `/page/`, and their files, which are read once."""
    for sample in sample_photographs():
        yield sample.name, File.read(sample, sample.suffix)
    for prefix, (package, folder) in FOLDERS.items():
        for file in (resources.files(package) / folder).iterdir():
            suffix = file.name[file.name.rfind(".") :]
            if suffix in KINDS:
                yield prefix + file.name, File.read(file, suffix)
