"""Networks, prepared for one device: torch, ONNX Runtime, CUDA graphs, or a stub without weights."""
