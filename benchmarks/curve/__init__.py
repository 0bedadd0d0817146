"""Bytes against accuracy: ours beside JPEG, WebP, AVIF and JPEG XL."""
