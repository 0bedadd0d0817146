"""The engine: admission, decoding, queues and batches, from one image to the row that a network returns for it."""
