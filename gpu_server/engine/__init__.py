"""The engine: from admission over queues and batches to a result."""
