"""Logging as text or JSON, with the id of the request in every line, and the access log."""

import contextvars
import json
import logging
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overtone.gpu_server.telemetry import tracing

HEADER = "x-request-id"
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_USABLE = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}")

# The token of an unfinished image is a secret of its client, and is not logged.
_TOKEN = re.compile(r"(?<=^/v1/images/)[^/]+")

access_log = logging.getLogger("overtone.access")


@dataclass(slots=True)
class RequestInfo:
    """What log lines contain about a request.

    Attributes:
        id: the client's, or one made here; for an image of a session its number is appended.
        what: method and path.
        owner: the client, once it has been let in.
        parent: the client's span, as `tracing.parent_of` found it.
    """

    id: str
    what: str = ""
    owner: str = ""
    parent: Any = None


_current: contextvars.ContextVar[RequestInfo | None] = contextvars.ContextVar("request", default=None)


def begin(headers: Mapping[str, str], what: str) -> RequestInfo:
    """Make the request with these headers or metadata the current one of this task and of tasks that it starts."""
    given = headers.get(HEADER, "")
    name = given if _USABLE.fullmatch(given) else secrets.token_hex(8)
    info = RequestInfo(name, what, parent=tracing.parent_of(headers))
    _current.set(info)
    return info


def begin_part(number: int) -> None:
    """Make one image of the request the current one of this task."""
    if (info := _current.get()) is not None:
        _current.set(replace(info, id=f"{info.id}/{number}"))


def current() -> RequestInfo | None:
    """The current request of this task."""
    return _current.get()


def name_owner(owner: str) -> None:
    """Set the client of the current request."""
    if (info := _current.get()) is not None:
        info.owner = owner


def note_end(info: RequestInfo, face: str, kind: str, code: str, seconds: float) -> None:
    """Write a line of the access log, if it is on."""
    if not access_log.isEnabledFor(logging.INFO):
        return
    milliseconds = 1000 * seconds
    fields = {"face": face, "kind": kind, "code": code, "milliseconds": round(milliseconds, 3)}
    fields |= {"request": info.id, "what": info.what, "owner": info.owner}
    line = "%s %s %s %.1f ms %s %s"
    values = (face, kind, code, milliseconds, info.what or "-", info.owner or "-")
    access_log.info(line, *values, extra={"request": info.id, "fields": fields})


def configure(level: str, style: Literal["text", "json"], access: bool) -> None:
    """Log to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(style))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # httpx would log requests between the processes of a server, with the tokens of images.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # The access log is written whatever the level of other logs is.
    access_log.setLevel(logging.INFO if access else logging.CRITICAL)


def formatter(style: Literal["text", "json"]) -> logging.Formatter:
    """The formatter for a style of lines."""
    return _Json() if style == "json" else _Text(TEXT)


def _request_of(record: logging.LogRecord) -> str | None:
    given: str | None = getattr(record, "request", None)
    info = _current.get()
    return given or (info.id if info else None)


class _Text(logging.Formatter):
    """A line of text that ends with the request's id."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        line, request = super().formatMessage(record), _request_of(record)
        return f"{line} [{request}]" if request else line


class _Json(logging.Formatter):
    """An object on a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := _request_of(record):
            fields["request"] = request
        fields |= getattr(record, "fields", {})
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


class RequestIds:
    """ASGI middleware that gives every request an id, and its response the header with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        info = begin(Headers(scope=scope), f"{scope['method']} {_TOKEN.sub('*', scope['path'])}")

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = info.id
            await send(message)

        await self._app(scope, receive, send_with_id)
