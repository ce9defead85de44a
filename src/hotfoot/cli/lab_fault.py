"""``hotfoot lab fault``: break something in a lab, and mend it."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Break something, and mend it.", no_args_is_help=True)

NameOption = Annotated[str, typer.Option("--name", help="The lab's name.")]
HostArgument = Annotated[str, typer.Argument(metavar="HOST", help="A host of the lab, such as n1.")]
InstanceArgument = Annotated[str, typer.Argument(metavar="INSTANCE", help="An instance of the lab, such as vm1.")]

_OF_HOSTS = {
    "cut-link": (
        "Cut a host's management link (storage and migrations too; not its instances' network).",
        "The link of {host} is cut; `hotfoot lab fault mend-link {host}` mends it.",
    ),
    "mend-link": ("Mend a link that was cut.", "The link of {host} is whole."),
    "kill-libvirtd": ("Kill -9 a host's libvirtd (systemd starts it again).", "libvirtd of {host} was killed."),
    "stall-storage": (
        "Make every access of a host to the shared storage wait.",
        "The storage of {host} stands still; `hotfoot lab fault resume-storage {host}` lets it go on.",
    ),
    "resume-storage": ("Let a host's stalled storage go on.", "The storage of {host} goes on."),
    "fill-disk": (
        "Fill the file system on which a host keeps its instances.",
        "The disk of {host} is full; `hotfoot lab fault free-disk {host}` makes room again.",
    ),
    "free-disk": ("Remove what fill-disk wrote.", "The disk of {host} has room again."),
    "kill-host": (
        "End a whole host at once, as a power cut would.",
        "Host {host} was killed; `hotfoot lab fault start-host {host}` starts it again.",
    ),
    "kill-nova-compute": (
        "Kill -9 a host's nova-compute (it stays down).",
        "nova-compute of {host} was killed; `hotfoot lab fault start-nova-compute {host}` starts it again.",
    ),
    "start-nova-compute": ("Start a host's nova-compute again.", "nova-compute of {host} has been started."),
}
"""Faults that strike a host: what each does, and what is said when it is done."""
_OF_SERVICES = {
    "stop-service": (
        "Stop a service of OpenStack's control plane, such as nova-api or rabbitmq.",
        "{service} has stopped; `hotfoot lab fault start-service {service}` starts it again.",
    ),
    "start-service": ("Start a service that was stopped.", "{service} is up."),
}
"""Faults that strike a service of OpenStack."""
_OF_QEMUS = {
    "kill-qemu": ("Kill -9 an instance's QEMU.", "QEMU of {instance} on {host} was killed."),
    "starve-qemu": (
        "Let the kernel kill an instance's QEMU for want of memory.",
        "QEMU of {instance} on {host} ran out of memory, and was killed.",
    ),
}


def _strike_host(verb: str, host: str, name: str) -> None:
    from hotfoot.lab import faults, store

    lab = store.load(name)
    faults.OF_HOSTS[verb](lab, lab.host(host))
    typer.echo(_OF_HOSTS[verb][1].format(host=host))


def _strike_qemu(verb: str, instance: str, host: str | None, name: str) -> None:
    from hotfoot.lab import faults, store

    where = faults.OF_QEMUS[verb](store.load(name), instance, host)
    typer.echo(_OF_QEMUS[verb][1].format(instance=instance, host=where))


def _strike_service(verb: str, service: str, name: str) -> None:
    from hotfoot.lab import faults, store

    faults.OF_SERVICES[verb](store.load(name), service)
    typer.echo(_OF_SERVICES[verb][1].format(service=service))


def _add_of_host(verb: str, help_text: str) -> None:
    @app.command(verb, help=help_text)
    def strike(host: HostArgument, name: NameOption = "lab") -> None:
        _strike_host(verb, host, name)


def _add_of_qemu(verb: str, help_text: str) -> None:
    @app.command(verb, help=help_text)
    def strike(
        instance: InstanceArgument,
        name: NameOption = "lab",
        host: Annotated[
            str | None, typer.Option(help="On this host, when it is on two in the middle of a move.")
        ] = None,
    ) -> None:
        _strike_qemu(verb, instance, host, name)


def _add_of_service(verb: str, help_text: str) -> None:
    @app.command(verb, help=help_text)
    def strike(
        service: Annotated[str, typer.Argument(metavar="SERVICE", help="As `hotfoot lab status` lists them.")],
        name: NameOption = "lab",
    ) -> None:
        _strike_service(verb, service, name)


for _verb, (_help, _) in _OF_HOSTS.items():
    _add_of_host(_verb, _help)
for _verb, (_help, _) in _OF_QEMUS.items():
    _add_of_qemu(_verb, _help)
for _verb, (_help, _) in _OF_SERVICES.items():
    _add_of_service(_verb, _help)


@app.command("start-host")
def start_host(host: HostArgument, name: NameOption = "lab") -> None:
    """Start a host that was killed; its disk is as it left it."""
    from hotfoot.lab import lifecycle

    lifecycle.start_host(name, host)
    typer.echo(f"Host {host} is up.")
