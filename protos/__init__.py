"""The gRPC contract: `overtone.proto`, and the Python stubs that `overtone.protos.generate` makes from it."""
