"""The Open Inference Protocol over gRPC: `inference.GRPCInferenceService`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn, TypeAlias

import grpc

from overtone.gpu_server.errors import BadRequest, ServiceError, Unavailable
from overtone.gpu_server.open_inference import protocol
from overtone.gpu_server.open_inference.protocol import Input, Request, Tensor
from overtone.gpu_server.service import Service
from overtone.protos import open_inference_pb2 as pb
from overtone.protos import open_inference_pb2_grpc as stubs

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
NAME = DESCRIPTOR.full_name
CONTENTS = {
    "BYTES": "bytes_contents",
    "INT32": "int_contents",
    "FP32": "fp32_contents",
    "BOOL": "bool_contents",
}

Context: TypeAlias = grpc.aio.ServicerContext
Admit: TypeAlias = Callable[[Context], str]
Abort: TypeAlias = Callable[[Context, ServiceError], Awaitable[NoReturn]]


class OpenInferenceServicer(stubs.GRPCInferenceServiceServicer):
    """One image in one call, for clients that know no other protocol.

    Args:
        service: the service.
        admit: lets a client in; raises Unauthenticated.
        abort: ends a call with an error.
    """

    def __init__(self, service: Service, admit: Admit, abort: Abort) -> None:
        self._service = service
        self._admit = admit
        self._abort = abort

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Context) -> pb.ServerLiveResponse:  # noqa: N802
        """Whether the server is running: always."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Context) -> pb.ServerReadyResponse:  # noqa: N802
        """Whether requests should be sent to the server."""
        return pb.ServerReadyResponse(ready=self._service.ready)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:  # noqa: N802
        """Whether requests should be sent to the model."""
        try:
            self._admit(context)
            protocol.resolve(self._service, request.name, request.version)
        except Unavailable:
            return pb.ModelReadyResponse(ready=False)
        except ServiceError as error:
            await self._abort(context, error)
        return pb.ModelReadyResponse(ready=self._service.ready)

    async def ServerMetadata(  # noqa: N802
        self, request: pb.ServerMetadataRequest, context: Context
    ) -> pb.ServerMetadataResponse:
        """Name and version of the server."""
        try:
            self._admit(context)
        except ServiceError as error:
            await self._abort(context, error)
        return pb.ServerMetadataResponse(name=protocol.SERVER, version=protocol.SERVER_VERSION)

    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        """The tensors that the model takes and gives."""
        try:
            self._admit(context)
            protocol.check_task(protocol.resolve(self._service, request.name, request.version))
        except ServiceError as error:
            await self._abort(context, error)
        return pb.ModelMetadataResponse(
            name=request.name,
            versions=[core.version for core in self._service.repository.versions(request.name)],
            platform=protocol.PLATFORM,
            inputs=_described(protocol.INPUTS),
            outputs=_described(protocol.OUTPUTS),
        )

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Context) -> pb.ModelInferResponse:  # noqa: N802
        """Classify one image."""
        try:
            with self._service.track_request("grpc"):
                owner = self._admit(context)
                account = self._service.access.account(owner)
                account.take_image()
                account.spend_bytes(request.ByteSize())
                split = protocol.resolve(self._service, request.model_name, request.model_version)
                core, found = await protocol.infer(split, _request(request), peer=owner)
                return _response(request, core.version, found)
        except ServiceError as error:
            await self._abort(context, error)


def _described(tensors: protocol.Shapes) -> list[Any]:
    kind = pb.ModelMetadataResponse.TensorMetadata
    return [kind(name=name, datatype=datatype, shape=shape) for name, (datatype, shape) in tensors.items()]


def _request(message: pb.ModelInferRequest) -> Request:
    parameters = {
        name: getattr(value, chosen)
        for name, value in message.parameters.items()
        if (chosen := value.WhichOneof("parameter_choice"))
    }
    return Request(_inputs(message), parameters, [output.name for output in message.outputs])


def _inputs(message: pb.ModelInferRequest) -> Sequence[Input]:
    """Inputs with their elements, which are in them or in raw_input_contents, but not in both.

    Raises:
        BadRequest: they are in both, or in neither.
    """
    raw = message.raw_input_contents
    if not raw:
        return [Input(i.name, i.datatype, i.shape, i.contents.bytes_contents) for i in message.inputs]
    if len(raw) != len(message.inputs) or any(i.HasField("contents") for i in message.inputs):
        raise BadRequest("use raw_input_contents for all inputs, or contents for all")
    return [
        Input(i.name, i.datatype, i.shape, protocol.unpack(data) if i.datatype == "BYTES" else ())
        for i, data in zip(message.inputs, raw, strict=True)
    ]


def _response(request: pb.ModelInferRequest, version: str, found: Sequence[Tensor]) -> pb.ModelInferResponse:
    """The response, with tensors raw if the request's were raw."""
    raw = bool(request.raw_input_contents)
    kind = pb.ModelInferResponse.InferOutputTensor
    outputs = [
        kind(
            name=tensor.name,
            datatype=tensor.datatype,
            shape=tensor.shape,
            contents=None if raw else pb.InferTensorContents(**{CONTENTS[tensor.datatype]: tensor.values}),
        )
        for tensor in found
    ]
    return pb.ModelInferResponse(
        model_name=request.model_name,
        model_version=version,
        id=request.id,
        outputs=outputs,
        raw_output_contents=[tensor.pack() for tensor in found] if raw else (),
    )
