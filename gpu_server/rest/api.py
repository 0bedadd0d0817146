"""The REST API: FastAPI routes around the core, for devices and people without gRPC."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from overtone.frequency import read_start
from overtone.frequency.ladder import MAX_LAYERS
from overtone.gpu_server import errors
from overtone.gpu_server.answer import Answer, NeedMore, Options
from overtone.gpu_server.arrival import Kind
from overtone.gpu_server.core import Core
from overtone.gpu_server.description import Document
from overtone.gpu_server.image_input import is_image, profile_id_of, service_errors
from overtone.gpu_server.limits.fair_share import Peer
from overtone.gpu_server.limits.peers import peer_of
from overtone.gpu_server.open_inference.model_repository import add_index
from overtone.gpu_server.open_inference.rest import add_open_inference
from overtone.gpu_server.rest import schemas
from overtone.gpu_server.rest.admin import add_health, add_metrics
from overtone.gpu_server.rest.bodies import payloads_of, received, while_connected
from overtone.gpu_server.rest.encodings import compressible
from overtone.gpu_server.rest.error_responses import FACE, http_error, invalid, service_error
from overtone.gpu_server.rest.live_page import add_live_page
from overtone.gpu_server.service import Service
from overtone.gpu_server.telemetry import logs

PAYLOADS = "application/vnd.overtone"
PART = "application/vnd.overtone.profile"
IMAGES = frozenset({"image/jpeg", "image/png", "image/webp"})
# Types that clients send which set none of their own; the first bytes of the body then decide.
ANY = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded", "*/*"})
DEFAULT_OPTIONS = Options()


async def options(request: Request) -> Options:
    """The query parameters of all routes that answer images; FastAPI takes longer where there are none."""
    if not request.scope["query_string"]:
        return DEFAULT_OPTIONS
    try:
        given = schemas.Options.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    return Options(given.operating_point, given.top, model=given.model, picture=given.picture)


RequestOptions = Annotated[Options, Depends(options)]
Natural = Annotated[int, Query(ge=0)]


def create_app(service: Service) -> FastAPI:
    """The application of a service; metrics and documentation are in it only if everybody is let in."""
    open_to_all = not service.access.restricted and service.settings.admin_port is None
    app = FastAPI(
        title="Overtone",
        description="Image inference layer by layer: the first layers of an image, and more on request.",
        version="2",
        exception_handlers={
            errors.ServiceError: service_error,
            HTTPException: http_error,
            RequestValidationError: invalid,
        },
        responses={"default": {"model": schemas.Failure}},
        openapi_url="/openapi.json" if open_to_all else None,  # without it there are no other pages either
    )
    app.state.service = service
    app.add_middleware(logs.RequestIds)
    # Every payload comes after its size as a varint.
    most_layers = MAX_LAYERS * (service.settings.max_payload_bytes + 4)
    _add_images(app, service, most_layers)
    _add_calls(app, service, most_layers)
    _add_model(app, service)
    add_health(app, service)
    if open_to_all:
        add_metrics(app, service, owner)
        if service.several:
            add_index(app, service, owner)
    add_open_inference(app, service, owner)
    if service.settings.page:
        add_live_page(app)
    return app


def _add_images(app: FastAPI, service: Service, most_layers: int) -> None:
    @app.post(
        "/v1/images",
        response_model=schemas.Answer | schemas.Detected,
        responses={202: {"model": schemas.NeedMore}},
        openapi_extra=_binary(PAYLOADS),
    )
    async def images(request: Request, chosen: RequestOptions) -> Response:
        """The first layers of an image: an answer, or a token with which to send further layers.

        The body has every payload after its size in bytes as a varint (LEB128).
        """
        with service.track_request(FACE):
            who, split = owner(service, request), service.resolve(chosen.model)
            request.state.account.take_image()
            async with received(request, most_layers, who) as body:
                payloads = payloads_of(body, split.served)
                core = split.pick(profile_id_of(payloads))
                result = await while_connected(request, core.judge(payloads, chosen, peer=who))
            if isinstance(result, Answer):
                return _answer(service, core, result)
            return _need_more(service, service.store.issue(who, result, core.generation), result)

    @app.post(
        "/v1/images/{token}/layers",
        response_model=schemas.Answer | schemas.Detected,
        responses={202: {"model": schemas.NeedMore}},
        openapi_extra=_binary(PAYLOADS),
    )
    async def layers(token: str, request: Request, chosen: RequestOptions) -> Response:
        """Further layers of the image whose first layers returned this token; 410 means: send all layers again."""
        with service.track_request(FACE):
            who = owner(service, request)
            core = service.core_of(token)
            key = (who, core.generation, token)
            service.store.check(key)  # before the body is read, which may be large
            async with received(request, most_layers, who) as body:
                payloads = payloads_of(body, core)
                need = service.find(key, sum(map(len, payloads)))
                work = core.judge(_new(payloads, need), chosen, need, peer=who)
                result = await while_connected(request, work)
            if isinstance(result, Answer):
                service.store.drop(key)
                return _answer(service, core, result)
            service.store.put(key, Peer(who), result)
            return _need_more(service, token, result)

    @app.post("/v1/images/{token}/high", include_in_schema=False)
    async def high(token: str, request: Request) -> Response:
        """Refuse clients of the former protocol."""
        with service.track_request(FACE):
            owner(service, request)
            raise errors.OutdatedClient


def _add_calls(app: FastAPI, service: Service, most_layers: int) -> None:
    """Routes that answer one image in one call, whatever has been sent of it."""

    async def answered(request: Request, chosen: Options, cropped: bool = False) -> Response:
        with service.track_request(FACE):
            who, split = owner(service, request), service.resolve(chosen.model)
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind not in {PAYLOADS, *IMAGES, *ANY}:
                raise errors.UnknownMedia(
                    f"cannot read {kind}; send {', '.join(sorted(IMAGES))} or {PAYLOADS}"
                )
            most = most_layers if kind == PAYLOADS else service.settings.max_image_bytes
            request.state.account.take_image()
            async with received(request, most, who) as body:
                if kind == PAYLOADS or (kind in ANY and not is_image(body)):
                    payloads = payloads_of(body, split.served)
                    core = split.pick(profile_id_of(payloads))
                    work = core.classify(payloads, chosen, peer=who)
                else:
                    core = split.pick(None)
                    work = core.image(body, chosen, cropped=cropped, peer=who)
                return _answer(service, core, await while_connected(request, work))

    body = _binary(PAYLOADS, *sorted(IMAGES))

    @app.post("/v1/classify", response_model=schemas.Answer, openapi_extra=body)
    async def classify(request: Request, chosen: RequestOptions, cropped: bool = False) -> Response:
        """A JPEG, PNG or WebP; or the first layers of an image, as for `/v1/images`, which are then all there are.

        Of an image the centre is used: a square whose side is seven eighths of the shorter side, or all of the
        shorter side if the sender has `cropped` the image already.
        """
        return await answered(request, replace(chosen, task="classify"), cropped)

    @app.post("/v1/detect", response_model=schemas.Detected, openapi_extra=body)
    async def detect(request: Request, chosen: RequestOptions) -> Response:
        """A picture or layers for a detector, which sees the whole picture; `width` and `height` belong to layers."""
        return await answered(request, replace(chosen, task="detect"))


def _add_model(app: FastAPI, service: Service) -> None:
    @app.get("/v1/model")
    async def model(request: Request, model: str = "") -> Response:
        """The card of a model, and the qualities for which its operating points are certified."""
        with service.arrive(FACE, Kind.DESCRIPTION).ending():
            owner(service, request)
            described = service.resolve(model).served.description
            return _document(request, described.card)

    @app.get("/v1/profile")
    async def profile(
        request: Request,
        quality: int | None = None,
        after: Natural = 0,
        layers: Natural | None = None,
        model: str = "",
    ) -> Response:
        """What a device needs to encode for the model: canonical JSON, whose ETag is the profile's id.

        With `layers`, only a part in its compact form: the tables of the layers after `after` up to `layers` (0: all),
        at `quality` or else the default one.
        """
        with service.arrive(FACE, Kind.DESCRIPTION).ending():
            owner(service, request)
            described = service.resolve(model).served.description
        headers = {"etag": f'"{described.profile_id.hex()}"', "cache-control": "no-cache"}
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if layers is None:
            return _document(request, described.profile, headers)
        part = await asyncio.to_thread(described.profile_parts.packed, quality, after, layers)
        return Response(part, media_type=PART, headers=headers)

    @app.get("/v1/labels")
    async def labels(request: Request, model: str = "") -> Response:
        """The labels of the model's classes, and the folder names that the classes had in training."""
        with service.arrive(FACE, Kind.DESCRIPTION).ending():
            owner(service, request)
            described = service.resolve(model).served.description
            return _document(request, described.labels)


def owner(service: Service, request: Request) -> str:
    """Admit a client, and name it; only this owner may use the tokens of its images.

    Raises:
        Unauthenticated: it is not let in.
    """
    address = peer_of(request.client.host) if request.client else ""
    certificate = getattr(request.state, "certificate", None)
    name = service.admit(request.headers.get("authorization"), address, certificate)
    request.state.account = service.access.account(name)
    logs.name_owner(name)
    return name


def _document(request: Request, document: Document, headers: Mapping[str, str] | None = None) -> Response:
    fields = {"content-type": "application/json", **(headers or {})}
    return compressible(request, document.text.encode(), document.gzipped, fields)


def _new(payloads: tuple[bytes, ...], need: NeedMore) -> tuple[bytes, ...]:
    """The payloads of layers that have not arrived before; a device repeats layers if a response was lost."""
    with service_errors():
        return tuple(each for each in payloads if read_start(each)[0] >= need.arrived)


def _need_more(service: Service, token: str, need: NeedMore) -> Response:
    body = schemas.need_more(token, need, service.store.ttl)
    where = {"location": f"/v1/images/{token}/layers"}
    return JSONResponse(body.model_dump(exclude_none=True), HTTPStatus.ACCEPTED, where)


def _answer(service: Service, core: Core, answer: Answer) -> Response:
    write = schemas.answer if core.task.name == "classify" else schemas.detected
    body = write(answer, core.name, core.version if service.several else None)
    return Response(body.model_dump_json(exclude_none=True), media_type="application/json")


def _binary(*kinds: str) -> dict[str, Any]:
    """For the documentation: options, and a body of bytes, of one of these types."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    fields = schemas.Options.model_json_schema()["properties"]
    parameters = [{"name": name, "in": "query", "required": False, "schema": fields[name]} for name in fields]
    return {"parameters": parameters, "requestBody": {"required": True, "content": content}}
