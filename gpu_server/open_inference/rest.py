"""The Open Inference Protocol over REST, under /v2, with its extension for tensors in binary."""

import base64
import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from overtone.frequency.ladder import MAX_LAYERS
from overtone.gpu_server import errors
from overtone.gpu_server.core import Core
from overtone.gpu_server.open_inference import protocol, schemas
from overtone.gpu_server.open_inference.model_repository import REPOSITORY, Owner
from overtone.gpu_server.open_inference.protocol import Input, Tensor
from overtone.gpu_server.rest.bodies import received, while_connected
from overtone.gpu_server.service import Service
from overtone.gpu_server.settings import MIB, Settings

PREFIX = "/v2"
# Where tensors are in binary: how many bytes of the body are JSON, before them.
HEADER_LENGTH = "inference-header-content-length"
# Bytes of JSON, because reading it occupies the event loop; larger tensors come in binary.
MAX_JSON = MIB
REFERENCE = "#/components/schemas/{model}"
BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": REFERENCE.format(model="InferenceRequest")}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}
FACE = "rest"


def add_open_inference(app: FastAPI, service: Service, owner: Owner) -> None:
    """Add the routes; `owner` lets a client in."""
    router = APIRouter(prefix=PREFIX, responses={"default": {"model": schemas.InferenceError}})
    _add_health(router, service)
    _add_metadata(router, service, owner)
    _add_inference(router, service, owner)
    app.include_router(router)
    _describe_body(app)


def is_open_inference(path: str) -> bool:
    """Whether a path belongs to the protocol, whose errors have a form of their own."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def _add_health(router: APIRouter, service: Service) -> None:
    @router.get("/health/live")
    async def live() -> schemas.Live:
        """The server answers."""
        return schemas.Live(live=True)

    @router.get("/health/ready", response_model=schemas.Ready, responses={503: {"model": schemas.Ready}})
    async def ready() -> Response:
        """Whether the server should be sent requests."""
        status = HTTPStatus.OK if service.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"ready": service.ready}, status)


def _add_metadata(router: APIRouter, service: Service, owner: Owner) -> None:
    @router.get("")
    async def server(request: Request) -> schemas.ServerMetadata:
        """Name and version of the server."""
        owner(service, request)
        extensions = [*protocol.EXTENSIONS, *([REPOSITORY] if service.several else [])]
        return schemas.ServerMetadata(
            name=protocol.SERVER, version=protocol.SERVER_VERSION, extensions=extensions
        )

    def described(request: Request, name: str, version: str = "") -> schemas.ModelMetadata:
        owner(service, request)
        protocol.check_task(protocol.resolve(service, name, version))
        return schemas.ModelMetadata(
            name=name,
            versions=[core.version for core in service.repository.versions(name)],
            platform=protocol.PLATFORM,
            inputs=_described(protocol.INPUTS),
            outputs=_described(protocol.OUTPUTS),
        )

    def is_ready(request: Request, name: str, version: str = "") -> schemas.ModelReady:
        owner(service, request)
        protocol.resolve(service, name, version)
        return schemas.ModelReady(name=name, ready=True)

    @router.get("/models/{name}")
    async def model(request: Request, name: str) -> schemas.ModelMetadata:
        """The tensors that the model takes and gives."""
        return described(request, name)

    @router.get("/models/{name}/versions/{version}")
    async def model_version(request: Request, name: str, version: str) -> schemas.ModelMetadata:
        """The tensors that this version of the model takes and gives."""
        return described(request, name, version)

    @router.get("/models/{name}/ready")
    async def model_ready(request: Request, name: str) -> schemas.ModelReady:
        """Whether the model should be sent requests; while it is loading or fails, the status is 503."""
        return is_ready(request, name)

    @router.get("/models/{name}/versions/{version}/ready")
    async def version_ready(request: Request, name: str, version: str) -> schemas.ModelReady:
        """Whether this version of the model should be sent requests."""
        return is_ready(request, name, version)


def _add_inference(router: APIRouter, service: Service, owner: Owner) -> None:
    most = _most_bytes(service.settings)
    extra = {"requestBody": BODY}

    async def inferred(request: Request, name: str, version: str = "") -> Response:
        with service.track_request(FACE):
            who = owner(service, request)
            split = protocol.resolve(service, name, version)
            request.state.account.take_image()
            async with received(request, most, who) as body:
                asked, binary = _split(body, request.headers.get(HEADER_LENGTH))
                outputs = [output.name for output in asked.outputs]
                image = protocol.Request(_inputs(asked, binary), asked.parameters, outputs)
                work = protocol.infer(split, image, peer=who)
                core, found = await while_connected(request, work)
            return _response(asked, core, found)

    @router.post("/models/{name}/infer", response_model=schemas.InferenceResponse, openapi_extra=extra)
    async def infer(request: Request, name: str) -> Response:
        """Classify one image: the payloads of its first layers, or a JPEG, PNG or WebP."""
        return await inferred(request, name)

    @router.post(
        "/models/{name}/versions/{version}/infer",
        response_model=schemas.InferenceResponse,
        openapi_extra=extra,
    )
    async def infer_version(request: Request, name: str, version: str) -> Response:
        """Classify one image with this version of the model."""
        return await inferred(request, name, version)


def _most_bytes(settings: Settings) -> int:
    """An image or all layers, and the JSON before it."""
    return MAX_JSON + max(settings.max_image_bytes, MAX_LAYERS * settings.max_payload_bytes)


def _described(tensors: protocol.Shapes) -> list[schemas.TensorMetadata]:
    return [
        schemas.TensorMetadata(name=name, datatype=datatype, shape=list(shape))
        for name, (datatype, shape) in tensors.items()
    ]


def _describe_body(app: FastAPI) -> None:
    """Add the schema of the request's body, which FastAPI would add if it read the body itself."""
    described = schemas.InferenceRequest.model_json_schema(ref_template=REFERENCE)
    models = {**described.pop("$defs"), "InferenceRequest": described}
    without = app.openapi

    def openapi() -> dict[str, Any]:
        schema = without()
        schema["components"]["schemas"].update(models)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _split(body: bytes, header_length: str | None) -> tuple[schemas.InferenceRequest, memoryview]:
    """The JSON of a body, and what follows it.

    Raises:
        BadRequest: it is not what the protocol says.
        TooLarge: the JSON is.
    """
    length = len(body)
    if header_length is not None:
        length = int(header_length) if header_length.isdecimal() and header_length.isascii() else -1
        if not 0 <= length <= len(body):
            raise errors.BadRequest(f"{HEADER_LENGTH}: {header_length!r} is not within the body")
    if length > MAX_JSON:
        raise errors.TooLarge(
            f"JSON of {length} bytes; send at most {MAX_JSON}, and larger tensors in binary"
        )
    try:
        asked = schemas.InferenceRequest.model_validate_json(body[:length])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise errors.BadRequest(f"{where}: {first['msg']}".removeprefix(": ")) from None
    return asked, memoryview(body)[length:]


def _inputs(asked: schemas.InferenceRequest, binary: memoryview) -> Sequence[Input]:
    """Inputs with their elements.

    Raises:
        BadRequest: an input is not complete, or the body has more bytes than belong to inputs.
    """
    inputs = []
    for given in asked.inputs:
        elements, binary = _elements(given, binary)
        inputs.append(Input(given.name, given.datatype, given.shape, elements))
    if binary:
        raise errors.BadRequest(f"{len(binary)} bytes of the body belong to no input")
    return inputs


def _elements(given: schemas.RequestInput, binary: memoryview) -> tuple[Sequence[bytes], memoryview]:
    """The elements of an input, and what is left of the binary part of the body."""
    size = given.parameters.get("binary_data_size")
    if (size is None) == (given.data is None):
        raise errors.BadRequest(f"{given.name}: needs either data or the parameter binary_data_size")
    if given.data is not None:
        try:
            return [base64.b64decode(element, validate=True) for element in given.data], binary
        except ValueError:
            raise errors.BadRequest(f"{given.name}: data in JSON are strings in base64") from None
    if type(size) is not int or not 0 <= size <= len(binary):
        raise errors.BadRequest(f"{given.name}: binary_data_size {size!r} is not within the body")
    return protocol.unpack(bytes(binary[:size])), binary[size:]


def _response(asked: schemas.InferenceRequest, core: Core, found: Sequence[Tensor]) -> Response:
    """The outputs in JSON, and after it those that are wanted in binary."""
    everything = asked.parameters.get("binary_data_output") is True
    wanted = {output.name: output.parameters.get("binary_data", everything) for output in asked.outputs}
    packed = {tensor.name: tensor.pack() for tensor in found if wanted.get(tensor.name, everything) is True}
    answer = {
        "model_name": core.name,
        "model_version": core.version,
        **({"id": asked.id} if asked.id else {}),
        "outputs": [_output(tensor, packed.get(tensor.name)) for tensor in found],
    }
    if not packed:
        return JSONResponse(answer)
    head = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {HEADER_LENGTH: str(len(head))}
    return Response(
        b"".join([head, *packed.values()]), headers=headers, media_type="application/octet-stream"
    )


def _output(tensor: Tensor, packed: bytes | None) -> dict[str, Any]:
    described = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
    if packed is not None:
        return described | {"parameters": {"binary_data_size": len(packed)}}
    text = tensor.datatype == "BYTES"
    return described | {"data": [v.decode() for v in tensor.values] if text else list(tensor.values)}
