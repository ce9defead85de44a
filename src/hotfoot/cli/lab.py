"""``hotfoot lab``: real compute hosts on one machine."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hotfoot.cli import lab_fault
from hotfoot.cli.lab_fault import HostArgument, InstanceArgument, NameOption
from hotfoot.cli.options import JsonOption
from hotfoot.cli.tables import print_table

if TYPE_CHECKING:
    from hotfoot.lab.instances import Places
    from hotfoot.lab.spec import Lab

app = typer.Typer(help="Real compute hosts on this machine, to try, test and rehearse with.", no_args_is_help=True)
instance_app = typer.Typer(help="Add, load and kill the lab's instances.", no_args_is_help=True)
app.add_typer(instance_app, name="instance")
app.add_typer(lab_fault.app, name="fault")

RateOption = Annotated[int, typer.Option("--rate", help="MiB/s of memory that the instance rewrites.")]
AreaOption = Annotated[int, typer.Option("--area", help="MiB of memory that it rewrites, over and over.")]
PatternOption = Annotated[str, typer.Option("--pattern", help="How it goes over that: circle, random or hot.")]
MemoryOption = Annotated[int, typer.Option("--memory", help="MiB of memory of an instance.")]


def _say(text: str) -> None:
    typer.secho(f"lab: {text}", err=True, dim=True)


def _lab_json(lab: Lab, places: Places | None = None) -> dict[str, Any]:
    from hotfoot.lab import instances, store

    places = places or instances.places_of(lab)
    return {
        "name": lab.name,
        "cluster_file": str(store.cluster_file_of(lab.name)),
        "transport": lab.transport,
        "storage": lab.storage,
        "firewall": lab.firewall,
        "bare": lab.bare,
        "light": lab.light,
        "openstack": _openstack_json(lab),
        "vm_accelerator": lab.vm_accelerator,
        "accelerator": lab.accelerator,
        "accelerator_reason": lab.accelerator_reason,
        "hosts": [{"name": host.name, "address": host.address} for host in lab.hosts],
        "instances": [
            {
                "name": instance.name,
                "uuid": str(instance.uuid),
                "address": instance.address,
                "host": next(iter(places.of(instance)), None),
            }
            for instance in lab.instances
        ],
    }


def _openstack_json(lab: Lab) -> dict[str, Any] | None:
    from hotfoot.lab import openstack_cloud, openstack_config, openstack_parts

    if not lab.openstack:
        return None
    return {
        "cloud": openstack_config.CLOUD,
        "clouds_file": str(openstack_cloud.clouds_file(lab)),
        "auth_url": openstack_parts.url(lab, "keystone"),
        "fake_hosts": lab.fake_hosts,
        "volumes": lab.volumes,
        "services": openstack_cloud.service_states(lab),
        "computes": {host.name: openstack_cloud.compute_state(lab, host) for host in lab.hosts},
    }


@app.command(short_help="Bring up hosts, storage and instances.")
def up(
    name: NameOption = "lab",
    hosts: Annotated[
        str, typer.Option(metavar="N|vm|vm:N", help="How many hosts, in namespaces or as virtual machines.")
    ] = "3",
    instances: Annotated[
        int | None, typer.Option(help="How many instances to start with [default: 2, with --bare or --light 0].")
    ] = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="Hosts that nobody has prepared, for hotfoot check and prepare.")
    ] = False,
    light: Annotated[
        bool, typer.Option("--light", help="Hosts to look at, up to 50 of them: without instances and storage.")
    ] = False,
    cpu_differs: Annotated[
        bool, typer.Option("--cpu-differs", help="The last host gives instances less of a CPU than the others.")
    ] = False,
    firewall: Annotated[
        str, typer.Option(help="none, ufw or firewalld: on each host, open for SSH alone, as prepare finds it.")
    ] = "none",
    openstack: Annotated[
        bool, typer.Option("--openstack", help="Nova on the hosts, its control plane beside them, and clouds.yaml.")
    ] = False,
    fake_hosts: Annotated[
        int, typer.Option(metavar="N", help="With --openstack: N more computes, of Nova's fake driver.")
    ] = 0,
    volumes: Annotated[
        bool, typer.Option("--volumes", help="With --openstack: Cinder on a small Ceph; instances boot from volumes.")
    ] = False,
    transport: Annotated[str, typer.Option(help="How libvirt is reached: tls, ssh or tcp.")] = "tls",
    storage: Annotated[
        str,
        typer.Option(help="glusterfs, nfs, cephfs, ceph, iscsi or none [default: nfs where the kernel has it]."),
    ] = "",
    link_rate: Annotated[str, typer.Option(help="Speed of each host's link, such as 200mbit.")] = "1gbit",
    memory: MemoryOption = 256,
    rate: RateOption = 0,
    area: AreaOption = 16,
    pattern: PatternOption = "circle",
    as_json: JsonOption = False,
) -> None:
    """Bring up hosts with systemd, libvirtd, sshd and shared storage, and instances on them."""
    from hotfoot.lab import lifecycle, spec, store
    from hotfoot.lab.instances import Load
    from hotfoot.lab.storage import default_storage

    spec.check_choice(transport, spec.Transport, "transport")
    spec.check_choice(firewall, spec.Firewall, "firewall")
    if storage:
        spec.check_choice(storage, spec.Storage, "storage")
    vm, host_count = spec.parse_hosts(hosts)
    lab = lifecycle.up(
        name,
        host_count=host_count,
        vm=vm,
        cpu_differs=cpu_differs,
        firewall=firewall,  # type: ignore[arg-type]
        openstack=openstack,
        fake_hosts=fake_hosts,
        volumes=volumes,
        instance_count=instances if instances is not None else 0 if bare or light else 2,
        bare=bare,
        light_hosts=light,
        transport=transport,  # type: ignore[arg-type]
        storage_kind=storage or ("none" if light else "nfs" if vm else default_storage()),  # type: ignore[arg-type]
        link_rate=link_rate,
        memory_mib=memory,
        load=Load(rate, area, pattern),
        say=_say,
    )
    if as_json:
        typer.echo(json.dumps(_lab_json(lab)))
        return
    _print_instances_and_hosts(lab)
    typer.echo(f"\nTry it:\n  export HOTFOOT_CLUSTER={store.cluster_file_of(name)}")
    typer.echo("  hotfoot check\n  hotfoot prepare" if bare else f"  hotfoot {'check' if light else 'ls'}")
    if lab.instances and len(lab.hosts) > 1:
        typer.echo(f"  hotfoot migrate {lab.instances[0].name}")
    typer.echo(f"  hotfoot lab down{'' if name == 'lab' else f' --name {name}'}")


@app.command()
def down(
    name: NameOption = "lab",
    every: Annotated[bool, typer.Option("--all", help="Remove every lab of this machine.")] = False,
) -> None:
    """Remove a lab, running or killed, with all that belongs to it."""
    from hotfoot.lab import lifecycle

    if every:
        gone = lifecycle.down_all()
        typer.echo(f"Removed {', '.join(gone)}." if gone else "There is no lab.")
    elif lifecycle.down(name):
        typer.echo(f"Lab {name} is gone.")
    else:
        typer.echo(f"There is no lab {name}.")


@app.command()
def status(name: NameOption = "lab", as_json: JsonOption = False) -> None:
    """Show a lab's hosts and instances as they are now."""
    from hotfoot.lab import store

    lab = store.load(name)
    if as_json:
        from hotfoot.lab.instances import places_of
        from hotfoot.lab.status import host_states, instance_states

        places = places_of(lab)
        states = host_states(lab, places)
        found = _lab_json(lab, places)
        for host in found["hosts"]:
            host |= {"state": states[host["name"]].state, "memory_bytes": states[host["name"]].memory_bytes}
        for told, state in zip(found["instances"], instance_states(lab, places), strict=True):
            told.update(state.load_as_json())
        typer.echo(json.dumps(found))
        return
    _print_instances_and_hosts(lab)
    typer.echo(f"\nexport HOTFOOT_CLUSTER={store.cluster_file_of(name)}")


def _print_instances_and_hosts(lab: Lab) -> None:
    from hotfoot.lab.instances import places_of
    from hotfoot.lab.status import host_states, instance_states

    wanted = "bare hosts, to become: " if lab.bare else "light hosts, to look at: " if lab.light else ""
    machines = f"virtual machines under {lab.vm_accelerator.upper()}, instances under " if lab.vm_accelerator else ""
    typer.echo(
        f"Lab {lab.name}: {wanted}libvirt over {lab.transport}, storage {lab.storage}, links of {lab.link_rate}, "
        f"{machines}{lab.accelerator.upper()}\n"
    )
    if lab.openstack:
        _print_openstack(lab)
    places = places_of(lab)
    states = host_states(lab, places)
    print_table(
        ["HOST", "ADDRESS", "STATE", "MEMORY"],
        [
            [
                host.name,
                host.address,
                states[host.name].state,
                f"{states[host.name].memory_bytes / 2**20:.0f} MiB",
            ]
            for host in lab.hosts
        ],
    )
    if lab.instances:
        typer.echo()
        print_table(
            ["INSTANCE", "ADDRESS", "HOST", "MEMORY", "WITNESS"],
            [
                [
                    s.instance.name,
                    s.instance.address,
                    s.where,
                    f"{s.instance.memory_mib} MiB",
                    s.load,
                ]
                for s in instance_states(lab, places)
            ],
        )


def _print_openstack(lab: Lab) -> None:
    found = _openstack_json(lab) or {}
    typer.echo(f"OpenStack: cloud {found['cloud']} of {found['clouds_file']}, {found['auth_url']}")
    for kind, good in (("services", "up"), ("computes", "active")):
        states: dict[str, str] = found[kind]
        typer.echo(f"  {kind}: " + ", ".join(f"{k}{'' if v == good else f' ({v})'}" for k, v in states.items()))
    if lab.fake_hosts:
        typer.echo(f"  and {lab.fake_hosts} computes of Nova's fake driver")
    typer.echo()


@app.command("exec")
def execute(
    host: HostArgument,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="What to run there, as root.")],
    name: NameOption = "lab",
) -> None:
    """Run a command on a host, as root; its exit status is passed on."""
    _become(name, host, command)


@app.command()
def shell(host: HostArgument, name: NameOption = "lab") -> None:
    """Open a shell on a host."""
    _become(name, host, ["bash", "-l"])


def _become(lab_name: str, host_name: str, command: list[str]) -> None:
    from hotfoot.lab import namespaces, store

    lab = store.load(lab_name)
    argv = [*namespaces.host_argv(lab, lab.host(host_name)), *command]
    os.execvp(argv[0], argv)


@app.command()
def shape(
    host: HostArgument,
    rate: Annotated[str, typer.Argument(metavar="RATE", help="Such as 200mbit or 1gbit.")],
    name: NameOption = "lab",
) -> None:
    """Limit the speed of a host's link, in both directions."""
    from hotfoot.lab import namespaces, network, store

    lab = store.load(name)
    found = lab.host(host)
    namespaces.host_argv(lab, found)
    network.shape(lab, found, rate)
    typer.echo(f"The link of {host} carries {rate}.")


@app.command(short_help="Prove that instances are whole.")
def verify(
    instances: Annotated[
        list[str] | None, typer.Argument(metavar="[INSTANCE]...", help="Instances [default: all].")
    ] = None,
    name: NameOption = "lab",
    as_json: JsonOption = False,
) -> None:
    """Prove that instances are whole: every memory page, every disk block, never restarted, in one place."""
    from dataclasses import asdict

    from hotfoot.lab import store
    from hotfoot.lab.instances import verify_all

    results = verify_all(store.load(name), instances or [])
    if as_json:
        typer.echo(json.dumps({"instances": [asdict(result) for result in results]}))
    else:
        for result in results:
            if result.whole:
                typer.echo(
                    f"{result.instance} on {result.host}: whole. {result.pages} memory pages and {result.blocks} disk "
                    f"blocks are as written; up {result.uptime_s:.0f} s without a restart."
                )
            else:
                typer.secho(f"{result.instance}: NOT WHOLE: {'; '.join(result.faults)}.", fg="red")
    if not all(result.whole for result in results):
        raise typer.Exit(1)


@instance_app.command("add")
def instance_add(
    instance: Annotated[str | None, typer.Argument(metavar="[INSTANCE]", help="Its name [default: the next].")] = None,
    name: NameOption = "lab",
    host: Annotated[str | None, typer.Option(help="On this host [default: the one with the fewest].")] = None,
    group: Annotated[
        str | None, typer.Option(help="With OpenStack: in the server group of this name, which Nova keeps apart.")
    ] = None,
    memory: MemoryOption = 256,
    rate: RateOption = 0,
    area: AreaOption = 16,
    pattern: PatternOption = "circle",
    as_json: JsonOption = False,
) -> None:
    """Start one more instance, and wait until it answers."""
    from hotfoot.lab import store
    from hotfoot.lab.instances import Load, add

    added = add(name, instance, host, memory, Load(rate, area, pattern), group)
    found = next(each for each in _lab_json(store.load(name))["instances"] if each["uuid"] == str(added.uuid))
    if as_json:
        typer.echo(json.dumps(found))
    else:
        typer.echo(f"{added.name} runs on {found['host']} and answers at {added.address}.")


@instance_app.command("kill")
def instance_kill(instance: InstanceArgument, name: NameOption = "lab") -> None:
    """End an instance and remove its disk."""
    from hotfoot.lab.instances import kill

    typer.echo(f"{kill(name, instance).name} is gone.")


@instance_app.command("load")
def instance_load(
    instance: InstanceArgument,
    name: NameOption = "lab",
    rate: RateOption = 0,
    area: AreaOption = 16,
    pattern: PatternOption = "circle",
) -> None:
    """Set how much memory an instance rewrites, how fast, and by which pattern."""
    from hotfoot.lab import store
    from hotfoot.lab.instances import Load, set_load

    lab = store.load(name)
    now = set_load(lab, lab.instance(instance), Load(rate, area, pattern))
    typer.echo(f"{instance} {now.load}.")
