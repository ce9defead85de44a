"""``hotfoot init``: a first cluster file from what the hosts tell, or an OpenStack cloud and its compute hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli.options import CloudOption
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cluster import Cluster
    from hotfoot.readiness.facts import Facts


def init(
    hosts: Annotated[
        list[str] | None, typer.Argument(help="Hosts to look at: DNS names or IP addresses.", metavar="HOST...")
    ] = None,
    cloud_name: CloudOption = None,
    user: Annotated[str | None, typer.Option(help="User to log in as.")] = None,
    key: Annotated[Path | None, typer.Option(help="Private key file.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of sshd.")] = None,
    known_hosts: Annotated[Path | None, typer.Option(help="File with the hosts' public keys.")] = None,
    sudo: Annotated[bool, typer.Option("--sudo", help="Become root by sudo on the hosts.")] = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; - for the terminal.")] = Path(
        "hotfoot.yaml"
    ),
) -> None:
    """Write a first cluster file: names, addresses, storage and transport as the hosts tell them.

    With --cloud the hosts are the cloud's compute hosts.
    """
    from hotfoot.cluster import load

    if bool(hosts) == bool(cloud_name):
        raise HotfootError("give hosts, or an OpenStack cloud by --cloud NAME.", ExitStatus.USAGE)
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
    text, count = _of_cloud(cloud_name, given) if cloud_name else _of_hosts(hosts or [], given)
    if to_terminal:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text)
    except OSError as error:
        raise HotfootError(f"{output} cannot be written: {error.strerror}.") from None
    load(output, Path.cwd())  # what was written must be what the other commands accept
    if count:
        typer.echo(f"Wrote {output} with {count} host{'' if count == 1 else 's'}; read it, then try `hotfoot check`.")
    else:
        typer.echo(f"Wrote {output} without hosts, since none could be reached by SSH; try `hotfoot ls`.")


def _of_hosts(hosts: list[str], ssh: dict[str, str]) -> tuple[str, int]:
    """Return the file's text, and how many hosts it declares."""
    from hotfoot.readiness.first_file import first_file

    cluster = _provisional([(host.replace(":", "-"), host) for host in dict.fromkeys(hosts)], ssh)
    facts = asyncio.run(_facts(cluster))
    if facts.silent:
        raise HotfootError("\n".join(silence.reason for silence in facts.silent), ExitStatus.REFUSED)
    return first_file(facts, {host.name: host.address for host in cluster.hosts}, ssh), len(facts.hosts)


def _of_cloud(cloud_name: str, ssh: dict[str, str]) -> tuple[str, int]:
    """Return the file's text, and how many hosts it declares: those that could be reached by SSH."""
    from hotfoot.cli.session import compute_hosts_of, declared_cluster
    from hotfoot.readiness.first_file import first_cloud_file

    async def work() -> tuple[Cluster, Facts]:
        cluster = _provisional(await compute_hosts_of(declared_cluster(None, cloud_name)), ssh)
        return cluster, await _facts(cluster)

    cluster, facts = asyncio.run(work())
    addresses = {host.name: host.address for host in cluster.hosts}
    return first_cloud_file(facts, addresses, {"cloud": cloud_name}, ssh), len(facts.hosts)


async def _facts(cluster: Cluster) -> Facts:
    from hotfoot.reach.facts import facts_of
    from hotfoot.reach.ssh import prepare
    from hotfoot.readiness.first_file import USUAL_PATHS
    from hotfoot.readiness.judge import TOPICS
    from hotfoot.readiness.wanted import wanted

    question = wanted(cluster, TOPICS).model_copy(update={"folders": USUAL_PATHS})
    return await facts_of(prepare(cluster), cluster, question)


def _provisional(hosts: Sequence[tuple[str, str]], ssh: dict[str, str]) -> Cluster:
    """Return the cluster of these hosts (name and address) as far as it is known before they were asked."""
    from hotfoot.cluster.validation import NotValid, cluster_from

    entries = [{"name": name, "address": address} for name, address in hosts]
    values: dict[str, object] = {**ssh}
    if "port" in ssh:
        values["port"] = int(ssh["port"])
    if "sudo" in ssh:
        values["sudo"] = True
    try:
        return cluster_from({"hosts": entries, "ssh": values, "libvirt": {"transport": "ssh"}})
    except NotValid as error:
        first = error.errors[0]
        what = "a host" if first["loc"][0] == "hosts" else f"--{str(first['loc'][-1]).replace('_', '-')}"
        said = first["msg"].removeprefix("Value error, ")
        raise HotfootError(f"{what} {said}.", ExitStatus.USAGE) from None
