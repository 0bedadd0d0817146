"""When to send the high payload."""

from typing import Literal, get_args

from edge_client.errors import UsageError

Policy = Literal["auto", "on_demand", "at_once"]


def sends_at_once(policy: str) -> bool:
    """Whether high goes out right behind low (`at_once`) or only when asked for (`on_demand`).

    `auto` is `on_demand` for now: it is never the dearer one in bytes. Once links are measured it will weigh
    a round trip against the bytes high would cost.

    Raises:
        UsageError: no such policy.
    """
    if policy not in get_args(Policy):
        raise UsageError(f"no policy {policy!r}: choose from {', '.join(get_args(Policy))}")
    return policy == "at_once"
