"""The device's side of Overtone: images in, answers out, over thin links. Needs no torch.

with Client("grpc://host:50051") as client:
    answer = client.classify("photograph.jpg")
    print(answer.label, answer.confidence, answer.layers, answer.bytes_sent)
"""

from overtone.edge_client.address import Address, Tls
from overtone.edge_client.answer import Answer, Result, Score, Timings
from overtone.edge_client.client import AsyncClient
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
    WrongVersion,
)
from overtone.edge_client.plan import Plan, Policy
from overtone.edge_client.stage import Stage
from overtone.edge_client.sync import Client
from overtone.edge_client.transport import Labels

__all__ = [
    "Address",
    "Answer",
    "AsyncClient",
    "BadImage",
    "BadPayload",
    "CertificateRequired",
    "Client",
    "ConnectionLost",
    "DeadlineExceeded",
    "EncodedImage",
    "Labels",
    "OvertoneError",
    "Plan",
    "Policy",
    "ProtocolError",
    "Refused",
    "Result",
    "Score",
    "ServerFailed",
    "Stage",
    "Timings",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "UnknownModel",
    "Untrusted",
    "UsageError",
    "WrongProfile",
    "WrongVersion",
    "encode_image",
]
