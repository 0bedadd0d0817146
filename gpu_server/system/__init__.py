"""A process and its operating system: threads, signals, open files, the event loop, garbage collection, shutdown."""
