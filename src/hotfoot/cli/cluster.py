"""``hotfoot cluster``: what the cluster file says, and what may be written in it."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from hotfoot.cli.options import ClusterOption, JsonOption

app = typer.Typer(name="cluster", help="Check the cluster file; print its JSON Schema.", no_args_is_help=True)


@app.command()
def validate(cluster: ClusterOption = None, as_json: JsonOption = False) -> None:
    """Check the cluster file, and say what was understood; every mistake is told with its line."""
    from hotfoot.cluster import load

    declared = load(cluster, Path.cwd())
    if as_json:
        from hotfoot.cluster.validation import cluster_json

        typer.echo(cluster_json(declared.resolved()))
        return
    if (openstack := declared.openstack) is not None:
        region = f", region {openstack.region}" if openstack.region else ""
        typer.echo(f"cluster {declared.name}: OpenStack cloud {openstack.cloud or 'of the OS_* variables'}{region}")
        if not declared.hosts:
            return
    count = len(declared.hosts)
    names = ", ".join(host.name for host in declared.hosts[:8]) + (", ..." if count > 8 else "")
    which = "  also reached directly" if openstack else f"cluster {declared.name}"
    typer.echo(f"{which}: {count} host{'' if count == 1 else 's'} ({names})")
    typer.echo(f"libvirt by {declared.libvirt.transport}")
    if declared.libvirt.transport == "tcp":
        typer.echo("  tcp is neither encrypted nor authenticated: for closed networks only")
    if declared.migration.network is not None:
        typer.echo(f"memory stream over {declared.migration.network}")
    for storage in declared.storage:
        typer.echo(f"disks in {storage.path} ({storage.type}{', shared' if storage.shared else ''})")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the cluster file, for editors that check YAML while it is typed."""
    from hotfoot.cluster.validation import cluster_schema

    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **cluster_schema()}
    typer.echo(json.dumps(document, indent=2))
