"""The service: the engine, sessions over gRPC, and a REST API."""
