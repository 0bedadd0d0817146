"""Python's garbage collector, which takes long to traverse all of torch's objects."""

import gc


def collect_and_freeze() -> None:
    """Collect once, and exempt all objects that are left from later collections.

    Without this, a collection stops the event loop for a third of a second whenever a few thousand objects are new, as
    they are when many sessions are opened.
    """
    gc.collect()
    gc.freeze()


def freeze() -> None:
    """Exempt all objects from collection: before a process ends, a collection would take a busy machine seconds."""
    gc.freeze()
