"""The codec alone: what contexts save, its speed, and damaged payloads."""
