"""Implementations of the engine's `Network`: torch with ONNX Runtime or CUDA graphs, detectors, and a stub."""
