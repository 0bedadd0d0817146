"""Generates the reference page of the gRPC interface from the .proto file and its comments."""

import re
from importlib import resources

HEAD = """# gRPC

The contract is `protos/overtone.proto`; `make protos` generates the stubs from it. [The
protocol](../protocol.md#grpc) says in which order messages are sent, and when. A server also has `grpc.health.v1`,
the Open Inference Protocol's `inference.GRPCInferenceService` ([which
calls](../protocol.md#open-inference-protocol)) and, unless it asks for tokens or certificates, reflection.
"""

# A service, message or enumeration at the left edge, with the comment above it.
BLOCK = re.compile(
    r"(?P<comment>(?:^//.*\n)*)^(?P<kind>service|message|enum) (?P<name>\w+) (?P<body>\{\}|\{\n(?:.*\n)*?\})$",
    re.MULTILINE,
)


def page() -> str:
    """The page as Markdown: every service, message and enumeration."""
    text = (resources.files("overtone.protos") / "overtone.proto").read_text(encoding="utf-8")
    return "\n\n".join([HEAD, *(_section(found) for found in BLOCK.finditer(text))]) + "\n"


def _section(found: re.Match[str]) -> str:
    comment = " ".join(line.removeprefix("//").strip() for line in found["comment"].splitlines())
    code = f"```proto\n{found['kind']} {found['name']} {found['body']}\n```"
    return "\n\n".join(filter(None, (f"## {found['name']}", comment, code)))
