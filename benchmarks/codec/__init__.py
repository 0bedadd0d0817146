"""The codec alone: speed, contexts, damaged payloads, and what a picture becomes."""
