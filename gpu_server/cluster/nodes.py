"""The nodes of a Ray cluster and the autoscaling policy of faces; Ray's controller imports this module alone."""

import time
from typing import Any

import ray

# Seconds for which a count is cached: Ray Serve asks ten times a second.
CACHE_SECONDS = 1.0


def nodes() -> list[str]:
    """The addresses of the nodes for faces: those that are alive and have a core."""
    return [
        str(node["NodeManagerAddress"])
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
    ]


def number_of_nodes() -> int:
    """How many nodes there are for faces; 1 while none is known."""
    return max(1, len(nodes()))


def one_face_per_node(context: Any) -> tuple[int, dict[str, float]]:
    """An autoscaling policy of Ray Serve: the number of replicas, and the state for the next call."""
    state, now = context.policy_state or {}, time.monotonic()
    if now - state.get("asked", -CACHE_SECONDS) < CACHE_SECONDS:
        return int(state["nodes"]), state
    count = number_of_nodes()
    return count, {**state, "nodes": count, "asked": now}
