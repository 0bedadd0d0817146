"""The command `overtone link`."""

from pathlib import Path
from typing import Annotated

import typer

from overtone import command

app = typer.Typer()


@app.command()
def link(
    to: Annotated[str, typer.Option(help="HOST:PORT to relay to.")] = "",
    profile: Annotated[str, typer.Option(help="One of --list; the options below override it.")] = "unlimited",
    rate: Annotated[str | None, typer.Option(help="Of both directions, e.g. 1mbit.")] = None,
    up: Annotated[str | None, typer.Option(help="Rate towards the server.")] = None,
    down: Annotated[str | None, typer.Option(help="Rate from the server.")] = None,
    rtt: Annotated[str | None, typer.Option(help="Round trip, e.g. 50ms.")] = None,
    jitter: Annotated[str | None, typer.Option(help="How far the round trip varies, e.g. 20ms.")] = None,
    outage: Annotated[
        str | None,
        typer.Option(help="30s+2s: down for 2 s after every 30 s; 30s+2s:reset breaks connections."),
    ] = None,
    trace: Annotated[Path | None, typer.Option(help="CSV of recorded time, rate (or up, down), rtt.")] = None,
    per_connection: Annotated[
        bool, typer.Option("--per-connection", help="A modem for each connection, not one for all.")
    ] = False,
    connections: Annotated[int, typer.Option(min=0, help="How many at once; checks the limit on files.")] = 0,
    seed: Annotated[int | None, typer.Option(help="For the same jitter every time.")] = None,
    listen: Annotated[str, typer.Option(help="HOST:PORT to listen on.")] = "127.0.0.1:0",
    show_list: Annotated[bool, typer.Option("--list", help="Only show the profiles.")] = False,
) -> None:
    """Relay TCP through a simulated link, and count the bytes it carries.

    Examples:

        overtone link --profile lte-m --to 127.0.0.1:50051 --listen 127.0.0.1:6000

        overtone link --rate 300kbit --rtt 120ms --jitter 20ms --outage 30s+2s --to HOST:50051

        overtone link --list
    """

    def action() -> None:
        from overtone.link.command import run, show_profiles

        if show_list:
            return show_profiles()
        shape = {"profile": profile, "rtt": rtt, "jitter": jitter, "outage": outage, "seed": seed}
        relay = {"per_connection": per_connection, "connections": connections, "listen": listen}
        return run(to, rate, up, down, trace, **shape, **relay)

    command.call("link", "client", action)
