"""`overtone bench bytes`: accuracy against bytes, beside JPEG, WebP, AVIF and JPEG XL."""
