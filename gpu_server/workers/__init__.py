"""A server of several processes: faces that share its ports, one engine, and who keeps them running."""
