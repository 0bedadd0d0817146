"""What others build on: keys of what the command line prints with --json, in their order."""

IMAGE_KEYS = (
    "path",
    "label",
    "truth",
    "confidence",
    "stage",
    "layers",
    "payload_bytes",
    "link_bytes_up",
    "link_bytes_down",
    "latency_ms",
    "jpeg_bytes",
)
