"""The service: engine, sessions, gRPC and REST faces."""
