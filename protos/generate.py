"""Generate the Python stubs from `overtone.proto`: ``python -m overtone.protos.generate`` (needs grpcio-tools)."""

import argparse
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

HERE = Path(__file__).parent
STUBS = ("overtone_pb2.py", "overtone_pb2.pyi", "overtone_pb2_grpc.py")


def generate(folder: Path = HERE) -> None:
    """Write `STUBS` into a folder.

    Raises:
        RuntimeError: protoc rejected the contract; its message is on standard error.
    """
    from grpc_tools import protoc

    includes = [f"-I{HERE}", f"-I{resources.files('grpc_tools') / '_proto'}"]
    outputs = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", *includes, *outputs, str(HERE / "overtone.proto")]):
        raise RuntimeError("protoc could not read overtone.proto")
    # protoc writes an import from the top level, but the stubs are in this package.
    grpc_stub = folder / "overtone_pb2_grpc.py"
    fixed = re.sub(
        r"(?m)^import overtone_pb2 as", "from overtone.protos import overtone_pb2 as", grpc_stub.read_text()
    )
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
