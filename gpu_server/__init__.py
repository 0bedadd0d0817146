"""The service: the engine, sessions over gRPC, and a REST API."""

import os

# gRPC's core writes a line to standard error for every failed handshake, in a form of its own. It reads this once.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
