"""JPEG, PNG and WebP: their sizes, and decoding in sandboxed processes."""
