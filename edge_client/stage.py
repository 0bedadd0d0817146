"""The stage of an answer: the network that it comes from."""

from typing import Literal, get_args

Stage = Literal["low", "high", "brownout"]
STAGES: frozenset[str] = frozenset(get_args(Stage))
