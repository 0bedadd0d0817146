"""The Open Inference Protocol V2 without a transport: an image as a BYTES tensor in, its answer as tensors out."""

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from math import prod
from typing import Any, TypeVar

from overtone.frequency.ladder import MAX_LAYERS
from overtone.gpu_server.answer import Answer, Options
from overtone.gpu_server.core import Core
from overtone.gpu_server.errors import BadRequest, WrongTask
from overtone.gpu_server.image_input import profile_id_of
from overtone.gpu_server.repository.traffic_split import TrafficSplit
from overtone.gpu_server.service import Service

Shapes = Mapping[str, tuple[str, tuple[int, ...]]]

SERVER = "overtone"
SERVER_VERSION = metadata.version(SERVER)
PLATFORM = "overtone_cascade"
EXTENSIONS = ("binary_tensor_data",)
# Dimensions that a shape may have; the product of very many would take long.
MAX_DIMENSIONS = 8
# Inputs, of which a request has one, and outputs: datatype and shape, -1 where it varies.
INPUTS: Shapes = {"layers": ("BYTES", (-1,)), "image": ("BYTES", (1,))}
OUTPUTS: Shapes = {
    "label": ("BYTES", (-1,)),
    "index": ("INT32", (-1,)),
    "probability": ("FP32", (-1,)),
    "layers": ("INT32", (1,)),
    "stage": ("BYTES", (1,)),
    "confident": ("BOOL", (1,)),
}
FORMATS = {"INT32": "i", "FP32": "f", "BOOL": "?"}

T = TypeVar("T", bool, int, str)
Parameters = Mapping[str, bool | int | float | str]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A one-dimensional tensor; the values of BYTES are bytes."""

    name: str
    datatype: str
    values: Sequence[Any]

    @property
    def shape(self) -> tuple[int]:
        """Its only dimension."""
        return (len(self.values),)

    def pack(self) -> bytes:
        """Its values in the protocol's binary form, little-endian; each element of BYTES after its size."""
        if self.datatype == "BYTES":
            return b"".join(struct.pack("<I", len(value)) + value for value in self.values)
        return struct.pack(f"<{len(self.values)}{FORMATS[self.datatype]}", *self.values)


@dataclass(frozen=True, slots=True)
class Input:
    """An input tensor as it was sent, not checked yet; `elements` are those of a BYTES tensor."""

    name: str
    datatype: str
    shape: Sequence[int]
    elements: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Request:
    """A request to classify one image; empty `outputs` mean all of them."""

    inputs: Sequence[Input]
    parameters: Parameters = field(default_factory=dict)
    outputs: Collection[str] = ()


def resolve(service: Service, name: str, version: str = "") -> TrafficSplit:
    """The traffic split of a model, or its named version alone.

    Raises:
        UnknownModel: the model or version is not served.
        Unavailable: as `Service.resolve`.
    """
    return service.resolve(f"{name}:{version}" if version or not name else name)


def check_task(split: TrafficSplit) -> None:
    """Refuse a detector: the tensors here are those of a classifier.

    Raises:
        WrongTask: it is one.
    """
    if split.served.task.name != "classify":
        raise WrongTask(f"{split.served.name} is a detector; send pictures to POST /v1/detect instead")


def unpack(raw: bytes) -> tuple[bytes, ...]:
    """The elements of a BYTES tensor in binary.

    Raises:
        BadRequest: a size goes beyond the end, or there are more than an image has layers.
    """
    elements: list[bytes] = []
    start = 0
    while start < len(raw):
        end = start + 4
        size = int.from_bytes(raw[start:end], "little")
        if end + size > len(raw):
            raise BadRequest("an element of a BYTES tensor is longer than the tensor")
        if len(elements) == MAX_LAYERS:
            raise BadRequest(f"a BYTES tensor of more than {MAX_LAYERS} elements")
        elements.append(raw[end : end + size])
        start = end + size
    return tuple(elements)


async def infer(split: TrafficSplit, request: Request, *, peer: str = "") -> tuple[Core, list[Tensor]]:
    """Classify the image of a request; returns the core that did, and the outputs. `peer` as in `Core.judge`.

    Raises:
        ServiceError: any of the family.
    """
    check_task(split)
    given, options = _input(request), _options(request.parameters)
    if unknown := set(request.outputs) - set(OUTPUTS):
        raise BadRequest(f"no output {min(unknown)!r}; there are {', '.join(OUTPUTS)}")
    if given.name == "layers":
        core = split.pick(profile_id_of(given.elements))
        answer = await core.classify(given.elements, options, peer=peer)
    else:
        core = split.pick(None)
        cropped = _parameter(request.parameters, "cropped", bool, False)
        answer = await core.image(given.elements[0], options, cropped=cropped, peer=peer)
    return core, [tensor for tensor in tensors(answer) if tensor.name in (request.outputs or OUTPUTS)]


def tensors(answer: Answer) -> list[Tensor]:
    """An answer as all outputs, classes best first."""
    values: dict[str, Sequence[Any]] = {
        "label": [score.label.encode() for score in answer.top],
        "index": [score.index for score in answer.top],
        "probability": [score.probability for score in answer.top],
        "layers": [answer.layers],
        "stage": [answer.stage.encode()],
        "confident": [answer.confident],
    }
    return [Tensor(name, datatype, values[name]) for name, (datatype, _) in OUTPUTS.items()]


def _input(request: Request) -> Input:
    if len(request.inputs) != 1:
        raise BadRequest(f"send one input, {' or '.join(INPUTS)}; there are {len(request.inputs)}")
    (given,) = request.inputs
    if given.name not in INPUTS:
        raise BadRequest(f"no input {given.name!r}; send {' or '.join(INPUTS)}")
    if given.datatype != "BYTES":
        raise BadRequest(f"{given.name} is BYTES, not {given.datatype}")
    if not 1 <= len(given.shape) <= MAX_DIMENSIONS or min(given.shape) < 0:
        raise BadRequest(f"{given.name}: the shape has 1 to {MAX_DIMENSIONS} dimensions, none below 0")
    if prod(given.shape) != len(given.elements):
        shape = list(given.shape)
        raise BadRequest(f"{given.name} has the shape {shape} but {len(given.elements)} elements")
    if given.name == "image" and len(given.elements) != 1:
        raise BadRequest(f"one image a request, not {len(given.elements)}")
    return given


def _options(parameters: Parameters) -> Options:
    top = _parameter(parameters, "top", int, 1)
    if top < 1:
        raise BadRequest(f"top: {top} is less than 1")
    return Options(_parameter(parameters, "operating_point", str, ""), top)


def _parameter(parameters: Parameters, name: str, kind: type[T], default: T) -> T:
    """The value of a parameter; unknown ones, which clients of other servers send, are ignored."""
    value = parameters.get(name, default)
    if type(value) is not kind:  # a bool is an int too
        raise BadRequest(f"{name}: {value!r} is not of type {kind.__name__}")
    return value
