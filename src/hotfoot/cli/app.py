"""The ``hotfoot`` command: its verbs, and how an error reaches the operator.

Modules of this package import only Typer and the standard library at the top; each command imports what it
needs when it runs, so that ``hotfoot --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

import typer

from hotfoot import __version__
from hotfoot.cli import (
    check,
    cluster,
    drain,
    forecast,
    history,
    init,
    inventory,
    kept_plans,
    lab,
    migrate,
    plan,
    prepare,
    recover,
    snapshot,
    soak,
    watch,
)
from hotfoot.errors import ExitStatus, HotfootError

app = typer.Typer(
    name="hotfoot",
    help="Live-migrate running instances between KVM hosts, and prove that nobody noticed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: no brackets eaten as markup, and no Rich to import
    context_settings={"help_option_names": ["-h", "--help"]},
)

# The words of the overview are short enough for 80 columns; each command's own help says more.
_COMMANDS: dict[Callable[..., None], str] = {
    init.init: "Write a first cluster file from hosts.",
    inventory.hosts: "Show the hosts and the room they have.",
    inventory.ls: "List the instances and where they run.",
    inventory.show: "Show one instance: disks, network, address.",
    check.check: "Say what stands in the way of migrations.",
    prepare.prepare: "Mend it: show, ask, do, check again.",
    forecast.forecast: "Say what a migration would take.",
    migrate.migrate: "Move a running instance, and prove it.",
    migrate.abort: "Stop a migration.",
    recover.recover: "Help an instance whose post-copy broke.",
    drain.drain: "Empty hosts for maintenance.",
    drain.restore: "Bring back what a drain moved.",
    drain.balance: "Make hosts alike in what is promised.",
    drain.consolidate: "Empty as many hosts as possible.",
    watch.watch: "Show all running migrations, live.",
    history.history: "Show what was moved, and how it went.",
    history.report: "Write one migration as a page with curves.",
    snapshot.snapshot: "Print what planning knows, as JSON.",
    soak.soak: "Move a lab's instances about, with faults.",
}
for command, words in _COMMANDS.items():
    app.command(short_help=words)(command)
app.add_typer(cluster.app, name="cluster", short_help="Check the cluster file; print its schema.")
for command in (kept_plans.show, kept_plans.pause, kept_plans.resume, kept_plans.cancel):
    plan.app.command()(command)
app.add_typer(plan.app, name="plan", short_help="Plans for whole hosts, made and kept.")
app.add_typer(lab.app, name="lab", short_help="Real compute hosts on this machine.")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"hotfoot {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Live-migrate running instances between KVM hosts, and prove that nobody noticed."""


def main() -> NoReturn:
    """Run the command line; print an expected error as one sentence, and end with its status."""
    status = _run()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # nobody reads any more, or the disk is full
            status = status or ExitStatus.ERROR
    # To take the interpreter apart would cost a sixth of the processor time of a migration (benchmarks/README.md), for
    # memory that the system takes back by itself: connections are closed, threads ended and files written by now.
    os._exit(status)


def _run() -> int:
    try:
        app()
    except HotfootError as error:
        for line in str(error).splitlines():
            typer.echo(f"hotfoot: {line}", err=True)
        return int(error.status)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
