"""Python's garbage collector, which takes long to look through all of torch's objects."""

import gc


def collect_and_keep() -> None:
    """Collect once, and never look at what is left again.

    Without this, a collection stops the event loop for a third of a second whenever a few thousand objects are new, as
    they are when many sessions are opened.
    """
    gc.collect()
    gc.freeze()


def keep() -> None:
    """Never look at what there is: before a process ends, that would take a busy machine seconds."""
    gc.freeze()
