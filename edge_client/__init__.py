"""The device's side of Overtone: images in, answers out, over thin links. Needs no torch.

with Client("grpc://host:50051") as client:
    answer = client.classify("photograph.jpg")
    print(answer.label, answer.confidence, answer.layers, answer.bytes_sent)

If the server has a detector, `client.detect("photograph.jpg").detections` has the objects in a picture.
"""

from overtone.edge_client.address import Address, Tls
from overtone.edge_client.answer import Answer, Result, Score, Timings
from overtone.edge_client.client import AsyncClient
from overtone.edge_client.detection import Box, Detected, Detection
from overtone.edge_client.encoding import EncodedImage, encode_image
from overtone.edge_client.errors import (
    BadImage,
    BadPayload,
    CertificateRequired,
    ConnectionLost,
    DeadlineExceeded,
    OvertoneError,
    ProtocolError,
    Refused,
    ServerFailed,
    Unauthenticated,
    Unavailable,
    UnknownModel,
    Untrusted,
    UsageError,
    WrongProfile,
    WrongTask,
    WrongVersion,
)
from overtone.edge_client.mask import Mask
from overtone.edge_client.plan import Plan, Policy
from overtone.edge_client.stage import Stage
from overtone.edge_client.sync import Client
from overtone.edge_client.task import Task
from overtone.edge_client.transport import Labels

__all__ = [
    "Address",
    "Answer",
    "AsyncClient",
    "BadImage",
    "BadPayload",
    "Box",
    "CertificateRequired",
    "Client",
    "ConnectionLost",
    "DeadlineExceeded",
    "Detected",
    "Detection",
    "EncodedImage",
    "Labels",
    "Mask",
    "OvertoneError",
    "Plan",
    "Policy",
    "ProtocolError",
    "Refused",
    "Result",
    "Score",
    "ServerFailed",
    "Stage",
    "Task",
    "Timings",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "UnknownModel",
    "Untrusted",
    "UsageError",
    "WrongProfile",
    "WrongTask",
    "WrongVersion",
    "encode_image",
]
