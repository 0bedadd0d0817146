"""The nodes of a Ray cluster; Ray's controller imports this module, and nothing else of the server."""

import time
from typing import Any

import ray

# Seconds for which the last count is believed: Ray Serve asks ten times a second.
FRESH = 1.0


def nodes() -> list[str]:
    """The addresses of the nodes that have room for a face: those that are up and have a core for it."""
    return [
        str(node["NodeManagerAddress"])
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
    ]


def number_of_nodes() -> int:
    """How many nodes have room for a face; one, if that is still to be found out."""
    return max(1, len(nodes()))


def one_on_each(context: Any) -> tuple[int, dict[str, float]]:
    """A policy of Ray Serve: how many faces there should be, and what it wants to be told the next time."""
    state, now = context.policy_state or {}, time.monotonic()
    if now - state.get("asked", -FRESH) < FRESH:
        return int(state["nodes"]), state
    count = number_of_nodes()
    return count, {**state, "nodes": count, "asked": now}
