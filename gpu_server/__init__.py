"""The server: sessions over gRPC and a REST API in front of an engine that runs batches of images through networks.

On a request's way: `grpc`, `rest` or `open_inference` (transports) -> `service` (models, access, readiness) -> `core`
(one model: which layers to judge, when to answer) -> `engine` (admission, decoding, batches) -> `networks` -> `tasks`
(the network's row as an answer). `serve` is the entry point of `overtone serve`; `workers` and `cluster` spread this
over processes and machines, `limits` and `telemetry` serve all of it.
"""

import os

# gRPC's core writes a line to standard error for every failed handshake, in a form of its own. It reads this once.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
