"""A server of several processes on one machine: faces that share its ports, one engine, and a supervisor.

A face is a front-end process: it accepts gRPC and HTTP, decodes images, and sends them to the engine's process, which
has the networks. See `supervisor` for how they are kept running, and `wire` for how they talk.
"""
