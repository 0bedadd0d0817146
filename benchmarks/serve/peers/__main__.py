"""Start a peer: `python -m overtone.benchmarks.serve.peers litserve_app`."""

import importlib
import os
import sys


def main() -> None:
    """Run the server of a module in this folder; what it prints goes to standard error."""
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    importlib.import_module(f"overtone.benchmarks.serve.peers.{sys.argv[1]}").main()


if __name__ == "__main__":
    main()
