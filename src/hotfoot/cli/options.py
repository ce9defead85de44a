"""Options that several commands share, so that each has one name and one meaning everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hotfoot.errors import ExitStatus, HotfootError

ClusterOption = Annotated[
    Path | None,
    typer.Option("--cluster", envvar="HOTFOOT_CLUSTER", help="Cluster file [default: ./hotfoot.yaml]."),
]


def _cloud(context: typer.Context, value: str | None) -> str | None:
    """Return the cloud that stands before the command where none stands behind it."""
    return context.find_root().params.get("cloud") if value is None else value


CloudOption = Annotated[
    str | None,
    typer.Option(
        "--cloud",
        "--os-cloud",
        callback=_cloud,
        metavar="NAME",
        help="An OpenStack cloud of clouds.yaml, without a cluster file.",
    ),
]
InstanceArgument = Annotated[str, typer.Argument(help="Name, UUID, or the first digits of the UUID.")]
FromOption = Annotated[str | None, typer.Option("--from", help="The host it is on, if several instances fit.")]
BlockOption = Annotated[
    bool | None, typer.Option("--block/--no-block", help="Copy local disks, or not [default: found out].")
]
BandwidthOption = Annotated[
    str | None, typer.Option("--bandwidth", help="Most to send, such as 800Mbit/s or 100MiB/s.")
]
MaxDowntimeOption = Annotated[
    str | None, typer.Option("--max-downtime", metavar="TIME", help="Greatest downtime limit, such as 500ms.")
]
PolicyOption = Annotated[
    str | None,
    typer.Option("--policy", metavar="NAME", help="gentle, balanced, must-finish, large-memory, or one of your own."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
ToOption = Annotated[
    list[str] | None, typer.Option("--to", metavar="HOSTS", help="Only to these hosts: names, with commas between.")
]
SnapshotOption = Annotated[
    Path | None,
    typer.Option("--snapshot", metavar="FILE", help="Plan for what `hotfoot snapshot` saved; - reads standard input."),
]
DeadlineOption = Annotated[
    str | None,
    typer.Option("--deadline", metavar="TIME", help="When all is to be over: 90m, 06:00, or a date with a time."),
]
MovesOption = Annotated[int | None, typer.Option("--max-moves", min=0, help="No more moves than this.")]

ColdOption = Annotated[
    bool,
    typer.Option(
        "--cold", help="Let Nova stop what cannot move live, move it and start it again; and move what is shut off."
    ),
]


def names_in(given: list[str]) -> tuple[str, ...]:
    """Return the names in words that may hold several, with commas between."""
    return tuple(name.strip() for each in given for name in each.split(",") if name.strip())


def asked_deadline(text: str | None) -> int | None:
    """Read ``--deadline`` of a plan, in ms since 1970 UTC; raises HotfootError (USAGE) for what is none."""
    from time import time

    from hotfoot.placement.deadline import deadline_ms

    try:
        return None if text is None else deadline_ms(text, round(1000 * time()))
    except ValueError as error:
        raise HotfootError(f"--deadline {error}.", ExitStatus.USAGE) from None


def asked_rate(text: str | None, otherwise: int | None) -> int | None:
    """Read ``--bandwidth`` in bytes per second; raises HotfootError (USAGE) for what is no rate."""
    from hotfoot.cluster import parse_rate

    try:
        return otherwise if text is None else parse_rate(text)
    except ValueError as error:
        raise HotfootError(f"--bandwidth {error}.", ExitStatus.USAGE) from None
