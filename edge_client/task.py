"""The tasks of models: to classify images, or to detect objects in them."""

from typing import Literal, cast, get_args

from overtone.edge_client.errors import ProtocolError

Task = Literal["classify", "detect"]


def known_task(name: str) -> Task:
    """The task that a server or a card names; an earlier version names none, and classifies.

    Raises:
        ProtocolError: this client does not know the task.
    """
    if (name or "classify") not in get_args(Task):
        raise ProtocolError(f"the server's model does what this client does not know: {name[:40]!r}")
    return cast(Task, name or "classify")
