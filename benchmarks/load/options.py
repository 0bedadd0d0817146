"""What may be said about a load: options on locust's command line and on its web page."""

from typing import Any, get_args

from overtone.benchmarks.link.profiles import PROFILES
from overtone.benchmarks.load.talk import Kind
from overtone.edge_client import Address, Policy


def add(parser: Any) -> None:
    """Ours, beside locust's own; on its web page too."""
    option = parser.add_argument
    option("--link", choices=list(PROFILES), default="unlimited", help="Each device's own link")
    option("--policy", choices=get_args(Policy), default="auto", help="When sessions and REST send high")
    option("--quality", type=int, default=0, help="Quality of the profile (0: its default)")
    option("--operating-point", default="", help="Operating point of the card (empty: its default)")
    option("--images-per-second", type=float, default=0.0, help="Of each device (0: as fast as answered)")
    option("--pictures", default="", help="Folder, one sub-folder a class (default: as overtone demo)")
    option("--picture-count", type=int, default=200, help="At most so many different pictures")
    option("--rival-side", type=int, default=224, help="Side in pixels of what rivals upload")
    option("--rival-quality", type=int, default=75, help="Its quality, 0 to 100")
    option("--http", default="", help="http://HOST:PORT, for REST devices and rivals beside a gRPC --host")
    option("--token", default="", env_var="OVERTONE_TOKEN", is_secret=True, help="The server's")


def address(host: str, http: str, kind: Kind) -> Address | None:
    """Whichever of two addresses, both may be empty, is of the face that a kind of device speaks to.

    Raises:
        OvertoneError: an address that cannot be read.
        ValueError: one with TLS, which a link in the middle would break.
    """
    for text in filter(None, (host, http)):
        found = Address.parse(text)
        if found.secure:
            raise ValueError(f"{text}: a load test speaks grpc:// and http://, without TLS")
        if found.is_grpc == (kind in ("session", "one-shot")):
            return found
    return None
