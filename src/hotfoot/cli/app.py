"""The ``hotfoot`` command: its verbs, and how an error reaches the operator.

Modules of this package import only Typer and the standard library at the top; each command imports what it
needs when it runs, so that ``hotfoot --help`` answers at once.
"""

from __future__ import annotations

import sys

import typer

from hotfoot import __version__
from hotfoot.cli import cluster, inventory, lab, migrate, watch
from hotfoot.errors import HotfootError

app = typer.Typer(
    name="hotfoot",
    help="Live-migrate running instances between KVM hosts, and prove that nobody noticed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: no brackets eaten as markup, and no Rich to import
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (inventory.hosts, inventory.ls, inventory.show, migrate.migrate, migrate.abort, watch.watch):
    app.command()(command)
app.add_typer(cluster.app, name="cluster")
app.add_typer(lab.app, name="lab")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"hotfoot {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Live-migrate running instances between KVM hosts, and prove that nobody noticed."""


def main() -> None:
    """Run the command line; print an expected error as one sentence, and end with its status."""
    try:
        app()
    except HotfootError as error:
        for line in str(error).splitlines():
            typer.echo(f"hotfoot: {line}", err=True)
        sys.exit(int(error.status))
