"""The service over gRPC: sessions, and everything that bounds them."""
