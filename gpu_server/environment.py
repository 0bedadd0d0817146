"""A check for environment variables with the prefix ``OVERTONE_`` that nothing reads: most likely mistyped settings."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

PREFIX = "OVERTONE_"
# Read by other parts of the project: a data set, the token and server of a client, a build without C.
OTHERS = ("OVERTONE_DATA", "OVERTONE_TOKEN", "OVERTONE_SERVER", "OVERTONE_PURE")
# Kubernetes describes every Service to the pods beside it, and a Service is likely to have our name.
_KUBERNETES = re.compile(
    r"OVERTONE_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


def check(environment: Mapping[str, str], settings: Iterable[str]) -> None:
    """Refuse variables with the prefix that belong neither to a setting nor to another part of the project.

    Raises:
        ValueError: there is one; the message names the most similar variable that exists.
    """
    known = {f"{PREFIX}{name.upper()}" for name in settings}
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and not _is_known(name.upper(), environment[name], known):
            # The prefix would make all short names alike.
            names = sorted(each.removeprefix(PREFIX) for each in (*known, *OTHERS))
            near = get_close_matches(name.upper().removeprefix(PREFIX), names, 1, 0.8)
            hint = (
                f"; did you mean {PREFIX}{near[0]}?"
                if near
                else ", see gpu_server/settings.py for those there are"
            )
            raise ValueError(f"{name} is no setting{hint}")


def _is_known(name: str, value: str, known: set[str]) -> bool:
    of_kubernetes = _KUBERNETES.fullmatch(name) or (name.endswith("_PORT") and "://" in value)
    return name in known or name in OTHERS or bool(of_kubernetes)
