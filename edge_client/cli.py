"""The commands of the device: `overtone classify`, `detect`, `watch` and `c-profile`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from overtone import command
from overtone.edge_client.client import DEFAULT_ADDRESS, AsyncClient
from overtone.edge_client.plan import Policy

if TYPE_CHECKING:
    from overtone.edge_client.inquiry import Printing

app = typer.Typer()

Server = Annotated[str, typer.Option(help="grpc://HOST:PORT, grpcs://, http:// or https://.")]
PolicyName = Annotated[
    str, typer.Option("--policy", help="When layers are sent: auto, on_demand, ahead or at_once.")
]
Quality = Annotated[int | None, typer.Option(help="A quality of the model's profile.")]
Point = Annotated[str, typer.Option("--operating-point", help="An operating point of the model's card.")]
Model = Annotated[str, typer.Option(help="NAME or NAME:VERSION, where the server has several models.")]
Token = Annotated[
    str | None, typer.Option(envvar="OVERTONE_TOKEN", help="The token that the server asks for.")
]
Authority = Annotated[
    Path | None,
    typer.Option("--ca", "--authority", help="PEM file of the authority to trust for grpcs:// and https://."),
]
Certificate = Annotated[
    Path | None, typer.Option(help="PEM file of the client's own certificate, where the server asks for one.")
]
Key = Annotated[Path | None, typer.Option(help="PEM file of that certificate's key.")]
Timeout = Annotated[float, typer.Option(help="Seconds for each image.")]
Cache = Annotated[
    Path | None, typer.Option(help="Folder to keep profiles in, which saves some kB at every start.")
]
Least = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Leave out things less probable; the operating point leaves out some too."
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Also say what the server has, and where the time went.")
]


@app.command(
    epilog=command.examples(
        "overtone classify photograph.jpg",
        "overtone classify FOLDER --server grpc://HOST:50051 --policy on_demand",
        "overtone classify FOLDER --server https://HOST --token SECRET --json",
    ),
)
def classify(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATHS...", help="Image files, and folders of them.")
    ],
    server: Server = DEFAULT_ADDRESS,
    policy: PolicyName = "auto",
    quality: Quality = None,
    operating_point: Point = "",
    model: Model = "",
    token: Token = None,
    authority: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    timeout: Timeout = 10.0,
    cache: Cache = None,
    json: command.Json = False,
    quiet: command.Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Send images to a server and print the answers as they come."""

    def run() -> int:
        from overtone.edge_client.classify import classify_files

        printing = _printing(json, quiet, verbose)
        client = _client(
            server,
            policy,
            quality,
            operating_point,
            model,
            token,
            authority,
            certificate,
            key,
            timeout,
            cache,
        )
        return classify_files(client, paths, printing)

    command.finish(command.call("classify", "client", run))


@app.command(
    epilog=command.examples(
        "overtone detect photograph.jpg --out drawn.png",
        "overtone detect FOLDER --server grpc://HOST:50051 --out drawn",
        "overtone detect FOLDER --server https://HOST --token SECRET --json",
    ),
)
def detect(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATHS...", help="Picture files, and folders of them.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Where pictures with boxes go: a file for one picture, or else a folder."),
    ] = None,
    least: Least = 0.0,
    server: Server = DEFAULT_ADDRESS,
    policy: PolicyName = "auto",
    quality: Quality = None,
    operating_point: Point = "",
    model: Model = "",
    token: Token = None,
    authority: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    timeout: Timeout = 10.0,
    cache: Cache = None,
    json: command.Json = False,
    quiet: command.Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Send pictures to a server with a detector, print what is in them as answers come, and draw it."""

    def run() -> int:
        from overtone.edge_client.detect import detect_in_files

        printing = _printing(json, quiet, verbose)
        client = _client(
            server,
            policy,
            quality,
            operating_point,
            model,
            token,
            authority,
            certificate,
            key,
            timeout,
            cache,
        )
        return detect_in_files(client, paths, printing, least=least, out=out)

    command.finish(command.call("detect", "client", run))


@app.command(
    epilog=command.examples(
        "overtone watch FOLDER --server grpc://HOST:50051",
        "overtone watch /dev/video0 --every 5 --server grpc://HOST:50051 --json",
        "overtone watch rtsp://CAMERA/stream --queue 1 --server https://HOST --token SECRET --detect",
    ),
)
def watch(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER_OR_CAMERA",
            help="A folder; or /dev/video0, rtsp://..., or http://... of Motion JPEG.",
        ),
    ],
    server: Server = DEFAULT_ADDRESS,
    every: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds between two pictures of a camera (default: 1); 0: all."),
    ] = None,
    existing: Annotated[
        bool, typer.Option("--existing", help="Send the images that are in the folder already too.")
    ] = False,
    queue: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Images that may wait (default: 1000 files, 4 pictures of a camera); then the oldest is dropped.",
        ),
    ] = None,
    policy: PolicyName = "auto",
    quality: Quality = None,
    operating_point: Point = "",
    model: Model = "",
    token: Token = None,
    authority: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    timeout: Timeout = 10.0,
    cache: Cache = None,
    detections: Annotated[
        bool, typer.Option("--detect", help="Detect objects; the server has to have a detector.")
    ] = False,
    least: Least = 0.0,
    json: Annotated[
        bool, typer.Option("--json", help="Print each answer as a JSON object on a line.")
    ] = False,
    quiet: command.Quiet = False,
) -> None:
    """Send each new image of a folder, or a picture now and then of a camera, until it is stopped.

    Servers and cameras that go away are waited for. Ctrl-C or SIGTERM ends it, with the number of images, payload
    bytes, and what was dropped and failed.
    """

    def run() -> int:
        from overtone.edge_client.watch import watch_for_ever

        client = _client(
            server,
            policy,
            quality,
            operating_point,
            model,
            token,
            authority,
            certificate,
            key,
            timeout,
            cache,
        )
        return watch_for_ever(
            client,
            what,
            every=every,
            existing=existing,
            capacity=queue,
            as_json=json,
            quiet=quiet,
            task="detect" if detections else "classify",
            least=least,
        )

    command.finish(command.call("watch", "client", run))


@app.command(
    "c-profile",
    epilog=command.examples(
        "overtone c-profile --server http://HOST:8080 --out profile.h",
        "overtone c-profile --server grpc://HOST:50051 --quality 3 --out profile.h",
    ),
)
def c_profile(
    out: Annotated[Path, typer.Option(help="The C header to write.")],
    server: Server = DEFAULT_ADDRESS,
    quality: Quality = None,
    model: Model = "",
    token: Token = None,
    authority: Authority = None,
    certificate: Certificate = None,
    key: Key = None,
    timeout: Timeout = 10.0,
) -> None:
    """Write what a device in C must know of a server's model, as constants for one quality."""

    def run() -> None:
        from overtone.edge_client.address import Tls
        from overtone.edge_client.open_client import open_client
        from overtone.frequency.c_profile import c_profile as header

        tls = Tls.of(authority, certificate, key)
        with open_client(server, model=model, token=token, tls=tls, timeout=timeout) as client:
            profile = client.whole_profile()
        out.write_text(header(profile, quality or profile.quality), "utf-8")

    command.call("c-profile", "client", run)


def _printing(as_json: bool, quiet: bool, verbose: bool) -> "Printing":
    """The choice of what is printed, from the options.

    Raises:
        ValueError: the options contradict each other.
    """
    from overtone.edge_client.inquiry import Printing

    if quiet and verbose:
        raise ValueError("give --quiet or --verbose, not both")
    return Printing(as_json, quiet, verbose)


def _client(
    server: str,
    policy: str,
    quality: int | None,
    operating_point: str,
    model: str,
    token: str | None,
    authority: Path | None,
    certificate: Path | None,
    key: Path | None,
    timeout: float,
    cache: Path | None,
) -> AsyncClient:
    """The client that the options describe.

    Raises:
        UsageError: they cannot be used.
    """
    from overtone.edge_client.address import Tls
    from overtone.edge_client.profile_cache import check_cache

    client = AsyncClient(
        server,
        policy=cast(Policy, policy),
        quality=quality,
        operating_point=operating_point,
        model=model,
        token=token,
        tls=Tls.of(authority, certificate, key),
        timeout=timeout,
        cache=cache,
    )
    if cache is not None:
        check_cache(cache)
    return client
