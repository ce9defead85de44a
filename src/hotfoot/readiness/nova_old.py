"""Options of Nova that the guides set and that current Nova has renamed, deprecated or removed. Data, and its reading.

Source: Nova's release notes from Havana (2013.2) to 2025; ``nova/conf`` in its repository names what it still takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hotfoot.cluster import Cluster
from hotfoot.readiness.change import Change
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.nova_conf import NovaConf, Option


@dataclass(frozen=True, slots=True)
class Renamed:
    """An option with a new place or name, and the same values."""

    section: str
    key: str
    new_section: str
    new_key: str


@dataclass(frozen=True, slots=True)
class Gone:
    """An option that does nothing any more, and what is to be used instead."""

    section: str
    key: str
    why: str
    instead: str


def _moved(section: str, new_section: str, keys: str) -> tuple[Renamed, ...]:
    return tuple(Renamed(section, key, new_section, key) for key in keys.split())


def _stripped(prefix: str, new_section: str, keys: str) -> tuple[Renamed, ...]:
    return tuple(Renamed("DEFAULT", f"{prefix}{key}", new_section, key) for key in keys.split())


RENAMED = (
    Renamed("DEFAULT", "vncserver_listen", "vnc", "server_listen"),
    Renamed("vnc", "vncserver_listen", "vnc", "server_listen"),
    Renamed("DEFAULT", "vncserver_proxyclient_address", "vnc", "server_proxyclient_address"),
    Renamed("vnc", "vncserver_proxyclient_address", "vnc", "server_proxyclient_address"),
    Renamed("DEFAULT", "vnc_enabled", "vnc", "enabled"),
    *_moved("DEFAULT", "vnc", "novncproxy_base_url novncproxy_host novncproxy_port"),
    Renamed("DEFAULT", "base_dir_name", "image_cache", "subdirectory_name"),
    Renamed("DEFAULT", "image_cache_subdirectory_name", "image_cache", "subdirectory_name"),
    Renamed("DEFAULT", "image_cache_manager_interval", "image_cache", "manager_interval"),
    *_moved("DEFAULT", "image_cache", "remove_unused_base_images remove_unused_original_minimum_age_seconds"),
    Renamed("libvirt", "cpu_model", "libvirt", "cpu_models"),
    Renamed("DEFAULT", "libvirt_cpu_model", "libvirt", "cpu_models"),
    Renamed("DEFAULT", "libvirt_type", "libvirt", "virt_type"),
    Renamed("DEFAULT", "libvirt_uri", "libvirt", "connection_uri"),
    *_stripped(
        "libvirt_",
        "libvirt",
        "cpu_mode images_type images_rbd_pool images_rbd_ceph_conf images_volume_group inject_key inject_partition"
        " inject_password snapshots_directory disk_prefix use_virtio_for_bridges wait_soft_reboot_seconds",
    ),
    *_moved("DEFAULT", "libvirt", "live_migration_bandwidth rbd_user rbd_secret_uuid disk_cachemodes"),
)

_FLAGS = (
    "Nova chooses libvirt's migration flags by itself since Ocata (2017) and passes over this option",
    "live_migration_permit_post_copy, _permit_auto_converge and _with_native_tls say the rest",
)
GONE = (
    *(Gone(section, key, *_FLAGS) for section in ("libvirt", "DEFAULT") for key in (
        "live_migration_flag", "block_migration_flag",
    )),
    Gone(
        "libvirt",
        "live_migration_progress_timeout",
        "Nova does not look at the progress of a migration any more and passes over this option",
        "live_migration_completion_timeout and live_migration_timeout_action say when it gives up",
    ),
    Gone(
        "DEFAULT",
        "libvirt_vif_driver",
        "the network chooses how interfaces are plugged, and Nova passes over this option",
        "nothing takes its place",
    ),
    Gone(
        "DEFAULT",
        "libvirt_nonblocking",
        "Nova always calls libvirt from threads of its own and passes over this option",
        "nothing takes its place",
    ),
    Gone(
        "DEFAULT",
        "connection_type",
        "Nova passes over it since 2012",
        "compute_driver = libvirt.LibvirtDriver takes its place",
    ),
)  # fmt: skip


def old_options(cluster: Cluster, conf: NovaConf) -> Iterator[Finding]:
    """Yield a finding for each old option that one host sets."""
    for renamed in RENAMED:
        if found := conf.all(renamed.section, renamed.key):
            yield _renamed(conf, renamed, found[-1])
    for gone in GONE:
        if found := conf.all(gone.section, gone.key):
            yield _gone(conf, gone, found[-1])
    for section in ("libvirt", "DEFAULT"):
        if found := conf.all(section, "live_migration_uri"):
            yield _uri(cluster, conf, found[-1])
        if found := conf.all(section, "live_migration_tunnelled"):
            yield _tunnelled(cluster, conf, found[-1])


def _renamed(conf: NovaConf, old: Renamed, option: Option) -> Finding:
    name = f"[{old.new_section}] {old.new_key}"
    return _finding(
        conf,
        option,
        Severity.ADVICE,
        what=f"Nova on {conf.host.host} has an option under an old name: [{option.section}] {option.key}.",
        why=f"It is called {name} now. Old names are taken for some releases, then passed over in silence, and"
        " Nova does"
        " what it does by default.",
        remedy=f"Write {name} = {option.value} instead.",
        changes=conf.renamed(old.section, old.key, old.new_section, old.new_key),
    )


def _gone(conf: NovaConf, old: Gone, option: Option) -> Finding:
    tunnelled = "VIR_MIGRATE_TUNNELLED" in option.value
    encrypted = (
        " VIR_MIGRATE_TUNNELLED in it used to send the memory through libvirt's own, perhaps encrypted, connection;"
        " it now goes in the clear unless live_migration_with_native_tls is on."
    )
    return _finding(
        conf,
        option,
        Severity.DANGEROUS if tunnelled else Severity.ADVICE,
        what=f"Nova on {conf.host.host} has an option that does nothing any more: [{option.section}] {option.key}.",
        why=f"{old.why[0].upper()}{old.why[1:]}.{encrypted if tunnelled else ''}",
        remedy=f"Take it out; {old.instead}.",
        changes=conf.without(old.section, old.key),
    )


def scheme_of(uri: str) -> str:
    """Return the transport that a live_migration_uri names.

    >>> scheme_of("qemu+tcp://nova@%s/system")
    'tcp'
    """
    found = re.match(r"[a-z]+\+([a-z0-9]+):", uri)
    return found[1] if found else "tls"  # libvirt's own default for a remote host


def _uri(cluster: Cluster, conf: NovaConf, option: Option) -> Finding:
    scheme = cluster.libvirt.transport
    has = conf.get("libvirt", "live_migration_scheme")
    scheme_change = conf.set_to("libvirt", "live_migration_scheme", scheme) if not has or has.value != scheme else ()
    plain = scheme_of(option.value) == "tcp" and scheme != "tcp"
    return _finding(
        conf,
        option,
        Severity.DANGEROUS if plain else Severity.ADVICE,
        what=f"Nova on {conf.host.host} is told a whole URI for live migrations: live_migration_uri.",
        why="It is deprecated since Ocata (2017) and overrides live_migration_scheme and live_migration_inbound_addr"
        + ("; it names plain TCP, which makes anyone on the network root on the hosts." if plain else "."),
        remedy=f"Take it out and set live_migration_scheme = {scheme}.",
        changes=(*scheme_change, *conf.without(option.section, option.key)),
    )


def _tunnelled(cluster: Cluster, conf: NovaConf, option: Option) -> Finding:
    on = option.value.lower() in ("true", "1", "yes", "on")
    encrypted = conf.switch("libvirt", "live_migration_with_native_tls")
    can_encrypt = cluster.migration.native_tls and cluster.libvirt.transport == "tls"
    native = (
        (
            *conf.set_to("libvirt", "live_migration_with_native_tls", "True"),
            *conf.set_to("libvirt", "live_migration_scheme", "tls"),
        )
        if on and not encrypted and can_encrypt
        else ()
    )
    # Without QEMU's own TLS in its place, the memory would go in the clear: left to a person.
    mendable = not on or encrypted or can_encrypt
    return _finding(
        conf,
        option,
        Severity.DANGEROUS if on else Severity.ADVICE,
        what=f"Nova on {conf.host.host} {'tunnels' if on else 'is told whether to tunnel'} migrations through libvirt.",
        why="VIR_MIGRATE_TUNNELLED copies every byte twice, cannot move local disks, and is deprecated since Wallaby"
        " (2021); QEMU's own TLS takes its place.",
        remedy="Take live_migration_tunnelled out and set live_migration_with_native_tls = True (and"
        " live_migration_scheme = tls), with certificates for QEMU on all hosts."
        if on
        else "Take live_migration_tunnelled out.",
        changes=(*native, *conf.without(option.section, option.key)) if mendable else (),
    )


def _finding(
    conf: NovaConf,
    option: Option,
    severity: Severity,
    *,
    what: str,
    why: str,
    remedy: str,
    changes: tuple[Change, ...],
) -> Finding:
    return Finding(
        code=f"nova.old-{option.key.replace('_', '-')}",
        severity=severity,
        host=conf.host.host,
        what=what,
        evidence=str(option),
        why=why,
        remedy=remedy,
        changes=(*changes, *conf.refresh()) if changes else (),
    )
