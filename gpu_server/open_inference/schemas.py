"""JSON of the Open Inference Protocol over REST; its fields are the standard's."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StrictBool, StrictFloat, StrictInt, StrictStr

# 64 bits, as in the protocol's gRPC.
Parameter = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**64)] | StrictBool | StrictFloat | StrictStr
Parameters = dict[str, Parameter]
Size = Annotated[StrictInt, Field(ge=0, lt=2**63)]


class Live(BaseModel):
    """Whether the server answers."""

    live: bool


class Ready(BaseModel):
    """Whether the server should be sent requests."""

    ready: bool


class ModelReady(BaseModel):
    """Whether the model should be sent requests."""

    name: str
    ready: bool


class ServerMetadata(BaseModel):
    """Name and version of the server."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor; -1 in its shape where it varies."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """The input and output tensors of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class RequestInput(BaseModel):
    """An input; its data are strings in base64, or follow the JSON where `binary_data_size` is among its parameters."""

    name: StrictStr
    shape: list[Size]
    datatype: StrictStr
    parameters: Parameters = {}
    data: list[StrictStr] | None = None


class RequestOutput(BaseModel):
    """An output that is wanted; in binary if `binary_data` among its parameters says so."""

    name: StrictStr
    parameters: Parameters = {}


class InferenceRequest(BaseModel):
    """One image. Parameters: `top`, `operating_point`, `cropped`; `binary_data_output` for all outputs in binary."""

    id: StrictStr = ""
    parameters: Parameters = {}
    inputs: list[RequestInput]
    outputs: list[RequestOutput] = []


class ResponseOutput(BaseModel):
    """An output; its data follow the JSON where `binary_data_size` is among its parameters."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, int] | None = None
    data: list[Any] | None = None


class InferenceResponse(BaseModel):
    """The answer for one image, classes best first."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[ResponseOutput]


class IndexRequest(BaseModel):
    """Which models to list: all, or those that are ready."""

    ready: bool = False


class IndexEntry(BaseModel):
    """A version of a model, its state, and the reason if it is not ready."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class InferenceError(BaseModel):
    """The body of every response that is not an answer."""

    error: str
