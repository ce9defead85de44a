"""What of one instance forbids or hinders its live migration by Nova, wherever it goes: flavour, image, ports.

Source: nova/compute/api.py (live_migrate and what it rejects), nova/conductor/tasks/live_migrate.py, Nova's history of
microversions (which tells a cloud's release), and its guide "Configure live migrations".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hotfoot.nova_words import means_yes
from hotfoot.readiness.cloud_destination import there
from hotfoot.readiness.cloud_facts import CloudFacts
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.listing import listed

TRAIN, ZED, CARACAL, EPOXY = (2, 79), (2, 93), (2, 96), (2, 97)
"""The newest microversion of a release; of Epoxy, the first beyond those of the releases before it."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """That a volume is attached to the instance for a host, as Cinder has it."""

    id: str
    volume: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveFacts:
    """What Nova and its neighbours tell of one instance, and of the cloud that is to move it."""

    uuid: str
    name: str
    host: str
    project_id: str = ""
    flavour: str = ""
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    image_properties: Mapping[str, str] = field(default_factory=dict)
    untold: tuple[str, ...] = ()
    """Why something is not known, a sentence each: of the image, the volumes, the ports."""
    config_drive: bool = False
    local_disks: bool = False
    """Whether Nova itself keeps disks of it, beside its volumes."""
    ports: Mapping[str, str] = field(default_factory=dict)
    """The kind (``vnic_type``) of each port by UUID: ``normal``, ``direct`` ..."""
    held: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """What it has of each resource provider (UUID), by resource class."""
    shared_volumes: tuple[str, ...] = ()
    """Volumes (UUID) that may be attached to several instances."""
    strays: tuple[Attachment, ...] = ()
    """Attachments for hosts where it is not, though it is not being moved."""
    pinned_zone: str | None = None
    """The availability zone that was asked for; None: any, or not known (before microversion 2.96)."""
    newest: tuple[int, int] = (2, 53)
    """The newest microversion of the cloud: which release it is."""


def judge(facts: CloudFacts, move: MoveFacts) -> Mapping[str, tuple[Finding, ...]]:
    """Return for each other compute host what stands in the way there; what does so everywhere has no ``peer``."""
    everywhere = tuple(_own(move))
    return {host: (*everywhere, *there(facts, move, host)) for host in facts.hosts if host != move.host}


def _own(move: MoveFacts) -> Iterator[Finding]:
    specs, image = move.extra_specs, move.image_properties
    yield from _devices(move)
    if said := _asked(move, ("hw:mem_encryption", "hw_mem_encryption"), yes=True):
        yield _blocks(
            move,
            "encrypted-memory",
            what=f"The memory of {move.name} is encrypted by its host's processor.",
            evidence=said,
            why="Nova refuses to live-migrate such an instance: its host alone has the key.",
        )
    tpm = _asked(move, ("hw:tpm_version", "hw_tpm_version"))
    if tpm and specs.get("hw:tpm_secret_security") != "host":
        yield _blocks(
            move,
            "vtpm",
            what=f"{move.name} has a virtual TPM whose secret its user alone can open.",
            evidence=tpm,
            why="Nova refuses to live-migrate it, unless its flavour has hw:tpm_secret_security=host (from 2026.1 on).",
        )
    numa = _asked(
        move,
        (
            "hw:cpu_policy", "hw:numa_nodes", "hw:mem_page_size", "hw:cpu_dedicated_mask", "hw:cpu_realtime",
            "resources:PCPU", "hw_cpu_policy", "hw_numa_nodes", "hw_mem_page_size",
        ),
        unless=("shared", "any", "small"),
    )  # fmt: skip
    if numa:
        old = move.newest < TRAIN
        yield _own_finding(
            move,
            "pinned",
            Severity.BLOCKS if old else Severity.ADVICE,
            what=f"{move.name} has CPUs or memory pages of its own on its host.",
            evidence=numa,
            why="Nova before Train (20) refuses to live-migrate an instance with a NUMA topology."
            if old
            else "Only a host with as many dedicated CPUs or pages free, arranged as it asks, can take it; how they are"
            " taken Nova's API does not tell, and a nova-compute older than Train anywhere in the cell forbids it.",
            remedy="Move it cold (`hotfoot migrate --cold`), or bring every nova-compute to Train or newer."
            if old
            else "Nothing now; if Nova finds no valid host, make room where there are dedicated CPUs or large pages.",
        )
    if move.config_drive and move.local_disks:
        yield _own_finding(
            move,
            "config-drive",
            Severity.ADVICE,
            what=f"{move.name} has a config drive, and disks that Nova keeps.",
            evidence=f"{move.uuid}: config_drive True; local disks",
            why="Where hosts share these disks nothing is copied. Else it is a block migration, which Nova's guide"
            " calls incompatible with read-only devices such as the config drive.",
            remedy="Share instances_path between the hosts or keep disks in Ceph, or set config_drive_format = vfat"
            " before instances are made.",
        )
    yield from _image(move, image)
    for stray in move.strays:
        yield _own_finding(
            move,
            "stray-attachment",
            Severity.ADVICE,
            what=f"A volume of {move.name} is attached for {stray.host}, where {move.name} is not.",
            evidence=f"volume {stray.volume}: attachment {stray.id} for {stray.host}; {move.name} is on {move.host}",
            why="A move that was broken off leaves it behind. It hinders no move, but the volume stays in use when"
            " nobody has it any more, and the storage may go on letting that host in.",
            remedy=f"`openstack volume attachment delete {stray.id}`. Cinder refuses (409) where Nova itself names this"
            f" one: then move {move.name} first, which puts Nova right, and check again.",
        )
    for sentence in move.untold:
        yield _own_finding(
            move,
            "untold",
            Severity.ADVICE,
            what=f"Not all is known of what {move.name} is made of.",
            evidence=sentence,
            why="What was not seen was not checked.",
            remedy="Look after the service that the sentence names, then check again.",
        )


def _image(move: MoveFacts, image: Mapping[str, str]) -> Iterator[Finding]:
    """Name what its image asks of a host beyond what its flavour does, and only a hint can be given of."""
    machine = image.get("hw_machine_type")
    if machine:
        yield _own_finding(
            move,
            "machine-type",
            Severity.ADVICE,
            what=f"{move.name} insists on the machine type {machine}.",
            evidence=f"image property hw_machine_type={machine}",
            why="A QEMU that does not know it, older or newer, cannot take the instance; Nova's API does not tell which"
            " ones a host knows.",
            remedy="Where hosts are declared, `hotfoot check --topic emulator` compares what they know.",
        )


def _devices(move: MoveFacts) -> Iterator[Finding]:
    specs = move.extra_specs
    if alias := specs.get("pci_passthrough:alias"):
        can = move.newest >= EPOXY
        yield _own_finding(
            move,
            "pci-device",
            Severity.ADVICE if can else Severity.BLOCKS,
            what=f"{move.name} has PCI devices of its host: {alias}.",
            evidence=f"flavour {move.flavour}: pci_passthrough:alias={alias}",
            why="Nova moves them live only where their alias says live_migratable, and their driver can."
            if can
            else "Nova before 2025.1 refuses to live-migrate an instance with a device that its flavour asks for.",
            remedy="Move it cold (`hotfoot migrate --cold`), unless [pci] alias and device_spec have live_migratable."
            if can
            else "Move it cold (`hotfoot migrate --cold`).",
        )
    if vgpu := [f"{key}={value}" for key, value in specs.items() if _is_vgpu(key)]:
        can = move.newest >= CARACAL
        yield _own_finding(
            move,
            "vgpu",
            Severity.ADVICE if can else Severity.BLOCKS,
            what=f"{move.name} has a virtual GPU of its host.",
            evidence=f"flavour {move.flavour}: {listed(vgpu)}",
            why="Both hosts need the same type of virtual GPU, libvirt 8.6, QEMU 8.1 and a driver that can; the API"
            " tells none of these."
            if can
            else "Nova before 2024.1 refuses to live-migrate an instance with a virtual GPU.",
            remedy="Nothing now; if Nova refuses, move it cold (`hotfoot migrate --cold`)."
            if can
            else "Move it cold (`hotfoot migrate --cold`).",
        )
    if profile := specs.get("accel:device_profile"):
        yield _blocks(
            move,
            "accelerator",
            what=f"{move.name} has an accelerator of its host: {profile}.",
            evidence=f"flavour {move.flavour}: accel:device_profile={profile}",
            why="Nova refuses to live-migrate an instance with an accelerator of Cyborg.",
        )
    for port, kind in move.ports.items():
        yield from _port(move, port, kind)


def _port(move: MoveFacts, port: str, kind: str) -> Iterator[Finding]:
    evidence = f"port {port}: vnic_type {kind}"
    if kind.startswith("accelerator-direct") or (kind == "vdpa" and move.newest < ZED):
        yield _blocks(
            move,
            "port",
            what=f"A port of {move.name} is a device of its host that Nova does not move ({kind}).",
            evidence=evidence,
            why="Nova refuses a live migration with a port on an accelerator; with one on vDPA, before Zed (26).",
        )
    elif kind in ("direct", "direct-physical", "macvtap"):
        old = move.newest < TRAIN
        yield _own_finding(
            move,
            "sriov-port",
            Severity.BLOCKS if old else Severity.ADVICE,
            what=f"A port of {move.name} is a device of its host ({kind}).",
            evidence=evidence,
            why="Nova before Train (20) refuses to live-migrate it."
            if old
            else "Nova takes the card away from the guest before the move, and gives it another afterwards: the guest"
            " is without this network meanwhile, unless it has bonded another card. Neutron needs binding-extended.",
            remedy="Move it cold (`hotfoot migrate --cold`)." if old else "Tell the instance's owner before it moves.",
        )


def _is_vgpu(key: str) -> bool:
    group, _, resource_class = key.partition(":")
    return group.startswith("resources") and resource_class in ("VGPU", "PGPU", "CUSTOM_VGPU")


def _asked(move: MoveFacts, keys: tuple[str, ...], *, unless: tuple[str, ...] = (), yes: bool = False) -> str:
    """Say which of these its flavour and image ask for, but for values that ask for nothing; empty: none."""
    said = []
    for where, values in ((f"flavour {move.flavour}", move.extra_specs), ("image", move.image_properties)):
        for key in keys:
            value = str(values.get(key, ""))
            if value and value.lower() not in unless and (not yes or means_yes(value)):
                said.append(f"{where}: {key}={value}")
    return "; ".join(said)


def _own_finding(
    move: MoveFacts, code: str, severity: Severity, *, what: str, evidence: str, why: str, remedy: str
) -> Finding:
    return Finding(
        code=f"cloud_move.{code}",
        severity=severity,
        host=move.host,
        what=what,
        evidence=evidence,
        why=why,
        remedy=remedy,
    )


def _blocks(move: MoveFacts, code: str, *, what: str, evidence: str, why: str) -> Finding:
    remedy = "Move it cold (`hotfoot migrate --cold`), or leave it where it is."
    return _own_finding(move, code, Severity.BLOCKS, what=what, evidence=evidence, why=why, remedy=remedy)
