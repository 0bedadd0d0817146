"""The options of a load test, on locust's command line and on its web page."""

from typing import Any, get_args

from overtone.benchmarks.load.clients import Kind
from overtone.edge_client import Address, Policy
from overtone.link.profiles import PROFILES


def add(parser: Any) -> None:
    """Add Overtone's options to locust's own."""
    option = parser.add_argument
    option("--link", choices=list(PROFILES), default="unlimited", help="Profile of each device's own link")
    option("--policy", choices=get_args(Policy), default="auto", help="When sessions and REST send layers")
    option("--quality", type=int, default=0, help="Quality of the profile (0: its default)")
    option("--operating-point", default="", help="Operating point of the card (empty: its default)")
    option("--images-per-second", type=float, default=0.0, help="Of each device (0: as fast as answered)")
    option(
        "--images",
        "--pictures",
        default="",
        help="Folder, one sub-folder a class (default: as in overtone demo)",
    )
    option("--image-count", "--picture-count", type=int, default=200, help="At most so many different images")
    option(
        "--baseline-side", "--rival-side", type=int, default=224, help="Side in pixels of a baseline's upload"
    )
    option("--baseline-quality", "--rival-quality", type=int, default=75, help="Its quality, 0 to 100")
    option("--http", default="", help="http://HOST:PORT, for REST devices and baselines beside a gRPC --host")
    option("--token", default="", env_var="OVERTONE_TOKEN", is_secret=True, help="The server's")


def address(host: str, http: str, kind: Kind) -> Address | None:
    """Of two addresses, which may be empty, the one whose transport a kind of device uses.

    Raises:
        OvertoneError: an address that cannot be read.
        ValueError: one with TLS, which the link in between would break.
    """
    for text in filter(None, (host, http)):
        found = Address.parse(text)
        if found.secure:
            raise ValueError(f"{text}: a load test uses grpc:// and http://, without TLS")
        if found.is_grpc == (kind in ("session", "one-shot")):
            return found
    return None
