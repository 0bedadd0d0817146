"""Measurements of the codec alone: compression by contexts, cost of layers and regions, speed, damaged payloads."""
