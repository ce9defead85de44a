"""Nova's configuration on compute hosts: one instances directory, encrypted migrations, the right address, one CPU.

Source: Nova's configuration reference and its guide "Configure live migrations" (2025). Only hosts that have
/etc/nova/nova.conf are looked at. nova-compute is restarted only where one of its files is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from hotfoot.cluster import Cluster
from hotfoot.readiness.addresses import Addresses, addresses_of, ip, is_ip
from hotfoot.readiness.change import Change
from hotfoot.readiness.cpu import cpus_of
from hotfoot.readiness.emulator import version_of
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.listing import listed
from hotfoot.readiness.nova_conf import FILES, UNITS, NovaConf, by_host
from hotfoot.readiness.nova_old import old_options, scheme_of
from hotfoot.readiness.nova_release import PACKAGES, releases

MIB = 2**20
_PARALLEL_POST_COPY = (10, 1)
"""From this QEMU on, several connections and post-copy go together."""
_SHARED_TYPES = frozenset({"nfs", "nfs4", "fuse.glusterfs", "ceph", "fuse.ceph-fuse", "ocfs2", "gfs2"})


def judge(cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong in Nova's configuration on every host that has one."""
    confs = by_host(facts.hosts)
    if not confs:
        return
    addresses = addresses_of(cluster, facts)
    yield from releases({name: conf.host for name, conf in confs.items()})
    yield from _paths(cluster, confs)
    yield from _cpu_alike(cluster, confs, differ=len({cpu.kind for cpu in cpus_of(facts).values()}) > 1)
    for name, conf in confs.items():
        yield from old_options(cluster, conf)
        yield from _scheme(cluster, conf)
        yield from _encryption(cluster, conf)
        yield from _inbound(conf, addresses[name])
        yield from _convergence(conf)
        yield from _bandwidth(cluster, conf)
        yield from _cleanup(cluster, conf)


def _scheme(cluster: Cluster, conf: NovaConf) -> Iterator[Finding]:
    if conf.get("libvirt", "live_migration_uri") is not None:
        return  # it overrides the scheme, and is told as an old option
    option = conf.get("libvirt", "live_migration_scheme")
    scheme, wanted = option.value if option else "tcp", cluster.libvirt.transport
    if scheme == wanted:
        return
    yield _finding(
        conf,
        "scheme",
        Severity.BLOCKS,
        what=f"Nova on {conf.host.host} connects to the destination's libvirt by {scheme}, and hosts listen by"
        f" {wanted}.",
        evidence=str(option) if option else "[libvirt] live_migration_scheme is not set: Nova takes tcp",
        why="The connection is refused, and the live migration fails with it."
        + (" Plain TCP would make anyone on the network root on the hosts." if scheme == "tcp" else ""),
        remedy=f"Set [libvirt] live_migration_scheme = {wanted}.",
        changes=conf.set_to("libvirt", "live_migration_scheme", wanted),
    )


def _encryption(cluster: Cluster, conf: NovaConf) -> Iterator[Finding]:
    native = conf.switch("libvirt", "live_migration_with_native_tls")
    uri = conf.get("libvirt", "live_migration_uri")
    option = conf.get("libvirt", "live_migration_scheme")
    scheme = scheme_of(uri.value) if uri else option.value if option else "tcp"
    if native and scheme == "tcp":
        yield _finding(
            conf,
            "control-channel-plain",
            Severity.DANGEROUS,
            what=f"Nova on {conf.host.host} encrypts the memory of a moving instance, but not what steers the move.",
            evidence="live_migration_with_native_tls is on;"
            f" {uri or option or 'live_migration_scheme is not set (tcp)'}",
            why="live_migration_with_native_tls is about QEMU's stream only; libvirt's own connection carries the"
            " instance's definition, and whoever can reach its port is root.",
            remedy="Set [libvirt] live_migration_scheme = tls as well.",
            changes=conf.set_to("libvirt", "live_migration_scheme", "tls")
            if cluster.libvirt.transport == "tls"
            else (),
        )
    if not native and cluster.migration.native_tls and cluster.libvirt.transport == "tls":
        tunnelled = conf.switch("libvirt", "live_migration_tunnelled")
        if tunnelled:
            return  # encrypted, and told as an old option
        yield _finding(
            conf,
            "stream-plain",
            Severity.ADVICE,
            what=f"Nova on {conf.host.host} sends the memory of moving instances in the clear.",
            evidence=str(
                conf.get("libvirt", "live_migration_with_native_tls") or "live_migration_with_native_tls is not set"
            ),
            why="Whoever can listen on the network reads the guests' memory, keys and passwords in it.",
            remedy="Set [libvirt] live_migration_with_native_tls = True; the certificates for QEMU are ready.",
            changes=conf.set_to("libvirt", "live_migration_with_native_tls", "True"),
        )


def _inbound(conf: NovaConf, addresses: Addresses) -> Iterator[Finding]:
    option = conf.get("libvirt", "live_migration_inbound_addr")
    wanted = addresses.migration
    value = conf.text("libvirt", "live_migration_inbound_addr")
    own = conf.host.names.addresses if conf.host.names else ()
    if option is None or value is None:
        if wanted and wanted != addresses.management:
            yield _finding(
                conf,
                "no-migration-address",
                Severity.ADVICE,
                what=f"Nova on {conf.host.host} receives instances over the management network.",
                evidence=f"live_migration_inbound_addr is not set; the cluster file's migration address is {wanted}",
                why="The memory of moving instances then fills the network on which the hosts are steered.",
                remedy=f"Set [libvirt] live_migration_inbound_addr = {wanted}.",
                changes=conf.set_to("libvirt", "live_migration_inbound_addr", wanted),
            )
        return
    if not is_ip(value) or not own or ip(value) in addresses.own:
        return
    right = wanted or addresses.management
    yield _finding(
        conf,
        "foreign-migration-address",
        Severity.BLOCKS,
        what=f"Nova on {conf.host.host} tells others to send instances to {value}, which is not an address of it.",
        evidence=f"{option}; its addresses: {listed(sorted(addresses.own))}",
        why="The source sends the memory to another host, or to nobody. A file copied from another host looks so.",
        remedy=f"Set [libvirt] live_migration_inbound_addr = {right or 'its own address'}.",
        changes=conf.set_to("libvirt", "live_migration_inbound_addr", right) if right else (),
    )


def _convergence(conf: NovaConf) -> Iterator[Finding]:
    post_copy = conf.switch("libvirt", "live_migration_permit_post_copy")
    if post_copy and conf.switch("libvirt", "live_migration_permit_auto_converge"):
        yield _finding(
            conf,
            "auto-converge-ignored",
            Severity.ADVICE,
            what=f"Nova on {conf.host.host} never throttles a guest, though it is permitted to.",
            evidence="live_migration_permit_post_copy and live_migration_permit_auto_converge are both on",
            why="Nova uses auto-converge only where post-copy is not permitted.",
            remedy="Choose one: take live_migration_permit_auto_converge out, or live_migration_permit_post_copy.",
            changes=conf.without("libvirt", "live_migration_permit_auto_converge"),
        )
    option = conf.get("libvirt", "live_migration_parallel_connections")
    version = version_of(conf.host)
    if post_copy and option and option.value.isdigit() and int(option.value) > 1:
        if version is None or version >= _PARALLEL_POST_COPY:
            return
        yield _finding(
            conf,
            "parallel-post-copy",
            Severity.BLOCKS,
            what=f"Nova on {conf.host.host} asks QEMU for post-copy and several connections at once.",
            evidence=f"{option}; live_migration_permit_post_copy is on; QEMU {'.'.join(map(str, version))}",
            why="QEMU before 10.1 refuses the two together, and no live migration starts.",
            remedy="Take live_migration_parallel_connections out, or do not permit post-copy.",
            changes=conf.without("libvirt", "live_migration_parallel_connections"),
        )


def _bandwidth(cluster: Cluster, conf: NovaConf) -> Iterator[Finding]:
    wanted = cluster.policy.bandwidth_bytes_per_s
    if wanted is None:
        return
    option = conf.get("libvirt", "live_migration_bandwidth", ("DEFAULT", "live_migration_bandwidth"))
    has = int(option.value) if option and option.value.isdigit() else 0
    rate = max(1, wanted // MIB)
    if has == rate:
        return
    yield _finding(
        conf,
        "bandwidth",
        Severity.ADVICE,
        what=f"Nova on {conf.host.host} lets a migration send {f'{has} MiB/s' if has else 'as much as it can'},"
        " the cluster"
        f" file {rate} MiB/s.",
        evidence=str(option or "live_migration_bandwidth is not set: no limit"),
        why="Migrations that fill the network leave the tenants' traffic no room.",
        remedy=f"Set [libvirt] live_migration_bandwidth = {rate}.",
        changes=conf.set_to("libvirt", "live_migration_bandwidth", str(rate)),
    )


def _paths(cluster: Cluster, confs: Mapping[str, NovaConf]) -> Iterator[Finding]:
    # Where disks are images in Ceph, the folder holds no disk.
    confs = {name: conf for name, conf in confs.items() if conf.images_type != "rbd"}
    if not confs:
        return
    shared = [storage.path for storage in cluster.storage if storage.shared]
    votes = Counter(conf.instances_path for conf in confs.values())
    most = min(votes, key=lambda each: (-votes[each], each))
    wanted = shared[0] if len(shared) == 1 else None
    for name, conf in confs.items():
        path = conf.instances_path
        option = conf.get("DEFAULT", "instances_path") or conf.get("DEFAULT", "state_path")
        seen = f"{path} ({option})" if option else f"{path} (Nova's default)"
        target = wanted or most
        # With instances there, another path would leave their disks behind.
        idle = conf.host.libvirt is not None and not conf.host.libvirt.domains
        mend = conf.set_to("DEFAULT", "instances_path", target) if idle else ()
        by_hand = "" if idle else " Empty the host first: its instances' disks stay where they are."
        if path != most:
            yield _finding(
                conf,
                "instances-path-differs",
                Severity.BLOCKS,
                what=f"Nova on {name} keeps instances in another folder than most hosts.",
                evidence=f"{name}: {seen}; most hosts: {most}",
                why="The destination looks for the disks under its own path: a live migration fails, or makes"
                " empty ones.",
                remedy=f"Set [DEFAULT] instances_path = {target} in nova.conf on {name}.{by_hand}",
                changes=mend,
            )
        elif shared and not any(path == each or path.startswith(f"{each}/") for each in shared):
            yield _finding(
                conf,
                "instances-not-shared",
                Severity.DANGEROUS,
                what=f"Nova on {name} keeps instances in {path}, which is not on the shared storage.",
                evidence=f"{seen}; shared by the cluster file: {listed(shared)}",
                why="Every move then copies the disks, and the instances of a dead host cannot be started elsewhere.",
                remedy=f"Set [DEFAULT] instances_path = {target}, or mount the storage on {path}.{by_hand}",
                changes=mend if wanted else (),
            )


def _cleanup(cluster: Cluster, conf: NovaConf) -> Iterator[Finding]:
    key = "ensure_libvirt_rbd_instance_dir_cleanup"
    if not conf.switch("workarounds", key) or not _on_shared(cluster, conf.host, conf.instances_path):
        return
    yield _finding(
        conf,
        "cleanup-destroys-shared",
        Severity.BLOCKS,
        what=f"Nova on {conf.host.host} deletes the folder of an instance that left it, on storage that hosts share.",
        evidence=f"{conf.get('workarounds', key)}; instances_path {conf.instances_path} is shared",
        why="The workaround is for Ceph with local instance folders. Where the folder is shared, the source"
        " deletes what"
        " the destination has just begun to use: the instance's data is lost.",
        remedy=f"Take [workarounds] {key} out at once.",
        changes=conf.without("workarounds", key),
    )


def _on_shared(cluster: Cluster, host: HostFacts, path: str) -> bool:
    declared = any(path == each.path or path.startswith(f"{each.path}/") for each in cluster.storage if each.shared)
    mounts = host.storage.mounts if host.storage else ()
    above = [each for each in mounts if path == each.target or path.startswith(f"{each.target.rstrip('/')}/")]
    nearest = max(above, key=lambda each: len(each.target), default=None)
    return declared or (nearest is not None and nearest.fs_type in _SHARED_TYPES)


def _cpu_alike(cluster: Cluster, confs: Mapping[str, NovaConf], *, differ: bool) -> Iterator[Finding]:
    if cluster.cpu.model is not None:
        for conf in confs.values():
            yield from _cpu_as_declared(cluster, conf)
        return
    modes = {name: _cpu_words(conf) for name, conf in confs.items()}
    votes = Counter(modes.values())
    most = min(votes, key=lambda each: (-votes[each], each))
    for name, conf in confs.items():
        if modes[name] != most:
            yield _finding(
                conf,
                "cpu-differs",
                Severity.DANGEROUS,
                what=f"Nova on {name} gives instances another CPU than on most hosts.",
                evidence=f"{name}: {modes[name]}; most hosts: {most}",
                why="An instance that starts where the CPU has more cannot move to where it has less.",
                remedy="Declare one CPU as cpu.model in the cluster file; `hotfoot check --topic cpu` names one"
                " that all"
                " hosts run.",
            )
        elif differ and conf.text("libvirt", "cpu_mode") == "host-passthrough":
            yield _finding(
                conf,
                "whole-cpu",
                Severity.DANGEROUS,
                what=f"Nova on {name} gives instances the host's whole CPU, and the hosts' CPUs differ.",
                evidence=str(conf.get("libvirt", "cpu_mode")),
                why="Such an instance can move only to a host of the very same CPU.",
                remedy="Declare one CPU as cpu.model in the cluster file; `hotfoot check --topic cpu` names one"
                " that all"
                " hosts run.",
            )


def _cpu_as_declared(cluster: Cluster, conf: NovaConf) -> Iterator[Finding]:
    flags = ", ".join(each if each.startswith(("-", "+")) else f"+{each}" for each in cluster.cpu.features)
    wanted = {"cpu_mode": "custom", "cpu_models": cluster.cpu.model or "", "cpu_model_extra_flags": flags}
    has = {key: conf.text("libvirt", key) or "" for key in wanted}
    if not has["cpu_models"]:
        has["cpu_models"] = conf.text("libvirt", "cpu_model") or ""  # told as an old option
    wrong = [key for key in wanted if _flags(has[key]) != _flags(wanted[key])]
    if not wrong:
        return
    changes: list[Change] = []
    for key in wrong:
        changes += conf.set_to("libvirt", key, wanted[key]) if wanted[key] else conf.without("libvirt", key)
    yield _finding(
        conf,
        "cpu-not-declared-one",
        Severity.DANGEROUS,
        what=f"Nova on {conf.host.host} does not give instances the CPU that the cluster file declares.",
        evidence="; ".join(f"{key} = {has[key] or '(not set)'}, declared {wanted[key] or '(none)'}" for key in wrong),
        why="An instance that starts where the CPU has more cannot move to where it has less. What runs keeps its CPU"
        " until its next start.",
        remedy=f"Set [libvirt] {', '.join(f'{key} = {wanted[key]}' for key in wrong)}.",
        changes=tuple(changes),
    )


def _flags(value: str) -> frozenset[str]:
    """Return a list of an option, order and plus signs left out: to compare."""
    return frozenset(each.strip().lower().removeprefix("+") for each in value.split(",") if each.strip())


def _cpu_words(conf: NovaConf) -> str:
    models = conf.text("libvirt", "cpu_models", ("libvirt", "cpu_model"))
    flags = conf.text("libvirt", "cpu_model_extra_flags")
    mode = conf.text("libvirt", "cpu_mode") or "not set"
    parts = (f"cpu_mode {mode}", models and f"cpu_models {models}", flags and f"extra flags {flags}")
    return ", ".join(part for part in parts if part)


def _finding(
    conf: NovaConf,
    code: str,
    severity: Severity,
    *,
    what: str,
    evidence: str,
    why: str,
    remedy: str,
    changes: tuple[Change, ...] = (),
) -> Finding:
    return Finding(
        code=f"nova.{code}",
        severity=severity,
        host=conf.host.host,
        what=what,
        evidence=evidence,
        why=why,
        remedy=remedy,
        changes=(*changes, *conf.refresh()) if changes else (),
    )


TOPIC = Topic(name="nova", title="Nova's configuration", judge=judge, files=FILES, units=UNITS, packages=PACKAGES)
