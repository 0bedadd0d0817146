"""The wire contract: `overtone.proto` and the Python stubs made from it by ``python -m overtone.protos.generate``."""
