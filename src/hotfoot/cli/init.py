"""``hotfoot init``: a first cluster file from what the hosts tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cluster import Cluster


def init(
    hosts: Annotated[list[str], typer.Argument(help="Hosts to look at: DNS names or IP addresses.", metavar="HOST...")],
    user: Annotated[str | None, typer.Option(help="User to log in as.")] = None,
    key: Annotated[Path | None, typer.Option(help="Private key file.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of sshd.")] = None,
    known_hosts: Annotated[Path | None, typer.Option(help="File with the hosts' public keys.")] = None,
    sudo: Annotated[bool, typer.Option("--sudo", help="Become root by sudo on the hosts.")] = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; - for the terminal.")] = Path(
        "hotfoot.yaml"
    ),
) -> None:
    """Write a first cluster file: names, addresses, storage and transport as the hosts tell them."""
    import asyncio

    from hotfoot.cluster import load
    from hotfoot.reach.facts import facts_of
    from hotfoot.reach.ssh import prepare
    from hotfoot.readiness.first_file import USUAL_PATHS, first_file
    from hotfoot.readiness.judge import TOPICS
    from hotfoot.readiness.wanted import wanted

    to_terminal = str(output) == "-"
    if not to_terminal and output.exists():
        raise HotfootError(
            f"{output} is there already; move it away, or give another name by --output.", ExitStatus.REFUSED
        )
    ssh = {
        "user": user,
        "key": str(key.resolve()) if key else None,
        "port": str(port) if port is not None else None,
        "known_hosts": str(known_hosts.resolve()) if known_hosts else None,
        "sudo": "true" if sudo else None,
    }
    given = {name: value for name, value in ssh.items() if value is not None}
    cluster = _provisional(hosts, given)
    question = wanted(cluster, TOPICS).model_copy(update={"folders": USUAL_PATHS})
    facts = asyncio.run(facts_of(prepare(cluster), cluster, question))
    if facts.silent:
        raise HotfootError("\n".join(silence.reason for silence in facts.silent), ExitStatus.REFUSED)
    text = first_file(facts, {host.name: host.address for host in cluster.hosts}, given)
    if to_terminal:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text)
    except OSError as error:
        raise HotfootError(f"{output} cannot be written: {error.strerror}.") from None
    load(output, Path.cwd())  # what was written must be what the other commands accept
    typer.echo(f"Wrote {output} with {len(facts.hosts)} hosts; read it, then try `hotfoot check`.")


def _provisional(hosts: list[str], ssh: dict[str, str]) -> Cluster:
    """Return the cluster as far as it is known before the hosts were asked."""
    from pydantic import ValidationError

    from hotfoot.cluster.model import Cluster

    entries = [{"name": host.replace(":", "-"), "address": host} for host in dict.fromkeys(hosts)]
    values: dict[str, object] = {**ssh}
    if "port" in ssh:
        values["port"] = int(ssh["port"])
    if "sudo" in ssh:
        values["sudo"] = True
    try:
        return Cluster.model_validate({"hosts": entries, "ssh": values, "libvirt": {"transport": "ssh"}})
    except ValidationError as error:
        first = error.errors()[0]
        what = "a host" if first["loc"][0] == "hosts" else f"--{str(first['loc'][-1]).replace('_', '-')}"
        said = first["msg"].removeprefix("Value error, ")
        raise HotfootError(f"{what} {said}.", ExitStatus.USAGE) from None
