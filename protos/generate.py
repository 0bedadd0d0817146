"""Generate the Python stubs from the contracts: ``python -m overtone.protos.generate`` (needs grpcio-tools)."""

import argparse
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

HERE = Path(__file__).parent
CONTRACTS = ("overtone", "open_inference")
STUBS = tuple(f"{name}{kind}" for name in CONTRACTS for kind in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py"))


def generate(folder: Path = HERE) -> None:
    """Write `STUBS` into a folder.

    Raises:
        RuntimeError: protoc rejected a contract; its message is on standard error.
    """
    from grpc_tools import protoc

    includes = [f"-I{HERE}", f"-I{resources.files('grpc_tools') / '_proto'}"]
    outputs = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
    for name in CONTRACTS:
        if protoc.main(["protoc", *includes, *outputs, str(HERE / f"{name}.proto")]):
            raise RuntimeError(f"protoc could not read {name}.proto")
        # protoc writes an import from the top level, but the stubs are in this package.
        grpc_stub = folder / f"{name}_pb2_grpc.py"
        imported = rf"(?m)^import {name}_pb2 as"
        fixed = re.sub(imported, f"from overtone.protos import {name}_pb2 as", grpc_stub.read_text())
        grpc_stub.write_text(fixed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m overtone.protos.generate", description=__doc__)
    parser.add_argument(
        "folder", nargs="?", type=Path, default=HERE, help="where to write (default: %(default)s)"
    )
    folder = parser.parse_args(arguments).folder
    if not folder.is_dir():
        parser.error(f"{folder}: no such folder")
    generate(folder)


if __name__ == "__main__":
    main()
