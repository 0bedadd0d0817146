"""The gRPC contracts: `overtone.proto`, the standard `open_inference.proto`, and Python stubs made from them."""
