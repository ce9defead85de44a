"""The ``hotfoot`` command: its verbs, and how an error reaches the operator.

Modules of this package import only Typer and the standard library at the top; each command imports what it needs when
it runs, and of the commands only the one that is asked for is imported, so that each begins at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import typer

from hotfoot import __version__
from hotfoot.errors import ExitStatus, HotfootError

# Each verb: the module of this package that has it under the same name (with _ for -), and what the overview says of
# it, short enough for 80 columns; each command's own help says more.
_COMMANDS = {
    "init": ("init", "Write a first cluster file from hosts."),
    "hosts": ("inventory", "Show the hosts and the room they have."),
    "ls": ("inventory", "List the instances and where they run."),
    "show": ("inventory", "Show one instance: disks, network, address."),
    "check": ("check", "Say what stands in the way of migrations."),
    "prepare": ("prepare", "Mend it: show, ask, do, check again."),
    "forecast": ("forecast", "Say what a migration would take."),
    "migrate": ("migrate", "Move a running instance, and prove it."),
    "abort": ("migrate", "Stop a migration."),
    "force-complete": ("nova", "End a migration of Nova now."),
    "repair-state": ("nova", "Set right what Nova wrongly shows."),
    "recover": ("recover", "Help an instance whose post-copy broke."),
    "drain": ("drain", "Empty hosts for maintenance."),
    "restore": ("drain", "Bring back what a drain moved."),
    "balance": ("balance", "Make hosts alike, once or from now on."),
    "consolidate": ("drain", "Empty as many hosts as possible."),
    "evacuate": ("evacuate", "Start a dead host's instances elsewhere."),
    "definitions": ("definitions", "Keep what evacuate needs; for a timer."),
    "watch": ("watch", "Show all running migrations, live."),
    "history": ("history", "Show what was moved, and how it went."),
    "report": ("history", "Write one migration as a page with curves."),
    "snapshot": ("snapshot", "Print what planning knows, as JSON."),
    "soak": ("soak", "Move a lab's instances about, with faults."),
}
# Each group of verbs: the module that has it as ``app``.
_GROUPS = {
    "cluster": ("cluster", "Check the cluster file; print its schema."),
    "plan": ("kept_plans", "Plans for whole hosts, made and kept."),
    "lab": ("lab", "Real compute hosts on this machine."),
}
_CLOUD = ("--cloud", "--os-cloud")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"hotfoot {__version__}")
        raise typer.Exit


def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    cloud: str | None = typer.Option(
        None, *_CLOUD, metavar="NAME", help="An OpenStack cloud of clouds.yaml; may stand behind the command too."
    ),
) -> None:
    """Live-migrate running instances between KVM hosts, and prove that nobody noticed."""
    # What ``options.CloudOption`` takes where the command itself names none; a command without it must not ignore it.
    if cloud is not None and not _knows_clouds(_command_of(context)):
        raise HotfootError(f"`hotfoot {context.invoked_subcommand}` takes no {_CLOUD[0]}.", ExitStatus.USAGE)


def _command_of(context: typer.Context) -> Any:
    return getattr(context.command, "commands", {}).get(context.invoked_subcommand)


def _knows_clouds(command: Any) -> bool:
    if command is None:  # which is told by what looks for it
        return True
    within = getattr(command, "commands", {}).values()
    return any(map(_knows_clouds, within)) or any(param.name == "cloud_name" for param in command.params)


def _verb(words: Sequence[str]) -> str | None:
    """Return the verb that is asked for; None where it is none, or the overview is."""
    rest = iter(words)
    for word in rest:
        if word in _CLOUD:
            next(rest, None)
        elif not word.startswith(tuple(f"{option}=" for option in _CLOUD)):
            return word if word in {*_COMMANDS, *_GROUPS} else None
    return None


def command_line(words: Sequence[str]) -> typer.Typer:
    """Return the command line: with the verb that is asked for, or with all where that is none.

    To import all of them and to make their options costs 0.1 s, more than all else that is done before a migration.
    """
    app = typer.Typer(
        name="hotfoot",
        help="Live-migrate running instances between KVM hosts, and prove that nobody noticed.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help: no brackets eaten as markup, and no Rich to import
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    wanted = _verb(words)
    for name, (module, said) in _COMMANDS.items():
        if wanted in (name, None):
            app.command(name, short_help=said)(getattr(import_module(f"hotfoot.cli.{module}"), name.replace("-", "_")))
    for name, (module, said) in _GROUPS.items():
        if wanted in (name, None):
            app.add_typer(import_module(f"hotfoot.cli.{module}").app, name=name, short_help=said)
    return app


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
        command_line(sys.argv[1:])()
    except HotfootError as error:
        for line in str(error).splitlines():
            typer.echo(f"hotfoot: {line}", err=True)
        return int(error.status)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
