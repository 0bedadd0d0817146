"""The transport gRPC: the server, sessions, and limits on connections and streams."""
