"""What one host is asked over one open connection. Blocking functions; the adapter runs them in threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import libvirt

from hotfoot.cloud import libvirt_recovery as recovery
from hotfoot.cloud.libvirt_job import Stats, sample_of
from hotfoot.cloud.libvirt_xml import cpu_to_compare, instance_of
from hotfoot.cloud.protocol import Offer
from hotfoot.inventory import Host, Instance, InstanceState
from hotfoot.migration.proof import Sighting
from hotfoot.migration.sample import JobSample

_KEEPS_TPM = 8_009_000
"""The version of libvirt since which it can be told to keep a TPM's state."""

STATES = {
    libvirt.VIR_DOMAIN_RUNNING: InstanceState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: InstanceState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: InstanceState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: InstanceState.SHUTTING_DOWN,
    libvirt.VIR_DOMAIN_SHUTOFF: InstanceState.SHUT_OFF,
    libvirt.VIR_DOMAIN_CRASHED: InstanceState.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: InstanceState.SUSPENDED,
}
PAUSED_IN_TRANSIT = frozenset(
    {
        libvirt.VIR_DOMAIN_PAUSED_MIGRATION,
        libvirt.VIR_DOMAIN_PAUSED_STARTING_UP,
        libvirt.VIR_DOMAIN_PAUSED_POSTCOPY,
        libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED,
    }
)
CLAIM_NAMESPACE = "urn:hotfoot:claim"
KIB = 1024
MIB = 1024 * KIB


def look(connection: Any, name: str, address: str) -> tuple[Host, tuple[Instance, ...]]:
    """Return the host and all instances on it."""
    info = connection.getInfo()  # model, MiB of memory, CPUs ...
    memory = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)  # KiB
    total = int(memory.get("total", 0)) * KIB or int(info[1]) * MIB
    available = sum(int(memory.get(key, 0)) for key in ("free", "buffers", "cached")) * KIB
    host = Host(
        name=name,
        address=address,
        libvirt_version=version(connection.getLibVersion()),
        qemu_version=version(connection.getVersion()),
        cpus=int(info[2]),
        memory_total_bytes=total,
        memory_available_bytes=min(available, total),
    )
    return host, tuple(_instances(connection, name))


def _instances(connection: Any, host: str) -> Iterator[Instance]:
    for domain in connection.listAllDomains():
        with suppress(libvirt.libvirtError):  # gone between the list and the question
            yield instance_of(domain.XMLDesc(), host, state_of(domain), persistent=bool(domain.isPersistent()))


def state_of(domain: Any) -> InstanceState:
    """Return the state of a domain; a paused half of a migration is IN_TRANSIT."""
    return _state(*domain.state())


def _state(state: int, reason: int) -> InstanceState:
    if state == libvirt.VIR_DOMAIN_PAUSED and reason in PAUSED_IN_TRANSIT:
        return InstanceState.IN_TRANSIT
    return STATES.get(state, InstanceState.UNKNOWN)


def _stopped_by_its_disk(host: str, name: str, state: int, reason: int) -> str | None:
    if (state, reason) != (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR):
        return None
    return (
        f"QEMU on {host} has paused {name}, since a disk failed it (is it full?): mend that, then let it run on"
        f" (`virsh resume {name}` there)."
    )


def sighting(connection: Any, host: str, uuid: str) -> Sighting:
    """Return what the host says about one UUID."""
    try:
        domain = connection.lookupByUUIDString(uuid)
        state, reason = domain.state()
        return Sighting(
            host=host,
            state=_state(state, reason),
            persistent=bool(domain.isPersistent()),
            post_copy=recovery.post_copy_of(state, reason),
            remark=_stopped_by_its_disk(host, domain.name(), state, reason),
        )
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return Sighting(host=host)
        raise


def job(connection: Any, uuid: str, at_s: float) -> JobSample | None:
    """Return one look at an outgoing migration."""
    with suppress(libvirt.libvirtError):
        return sample_of(connection.lookupByUUIDString(uuid).jobStats(), at_s)
    return None


def jobs(connection: Any, at_s: float) -> list[tuple[str, str, JobSample]]:
    """Return all outgoing migrations as (uuid, name, sample)."""
    found = []
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        with suppress(libvirt.libvirtError):
            sample = sample_of(domain.jobStats(), at_s)
            if sample is not None:
                found.append((domain.UUIDString(), domain.name(), sample))
    return found


def completed_stats(connection: Any, uuid: str) -> Stats:
    """Return the statistics of the last completed job; empty where the host keeps none."""
    with suppress(libvirt.libvirtError):
        # Kept, so that an operator's `virsh domjobinfo --completed` finds them too.
        which = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
        stats: Stats = connection.lookupByUUIDString(uuid).jobStats(which)
        return stats
    return {}


def claim(connection: Any, uuid: str) -> str | None:
    """Return our element of a domain's metadata; None where there is none, or no such domain is here.

    Of a running domain that of its life, of one that is shut off that of its definition.
    """
    try:
        text: str = connection.lookupByUUIDString(uuid).metadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT, CLAIM_NAMESPACE, libvirt.VIR_DOMAIN_AFFECT_CURRENT
        )
    except libvirt.libvirtError as error:
        if error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_NO_DOMAIN):
            return None
        raise
    return text


def set_claim(connection: Any, uuid: str, text: str | None) -> None:
    """Put our element where ``claim`` reads it, or take it away."""
    connection.lookupByUUIDString(uuid).setMetadata(
        libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, "hotfoot", CLAIM_NAMESPACE, libvirt.VIR_DOMAIN_AFFECT_CURRENT
    )


def forget(connection: Any, uuid: str) -> bool:
    """Undefine a domain that is shut off, and keep its files; False where it is active."""
    domain = connection.lookupByUUIDString(uuid)
    if domain.isActive():
        return False
    kept = libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
    if connection.getLibVersion() >= _KEEPS_TPM:
        kept |= libvirt.VIR_DOMAIN_UNDEFINE_KEEP_TPM
    described = libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    domain.undefineFlags(kept | described)
    return True


def live_xml(connection: Any, uuid: str) -> str:
    """Return the XML that would be sent to a destination."""
    xml: str = connection.lookupByUUIDString(uuid).XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE)
    return xml


def machines(connection: Any) -> dict[str, str]:
    """Return the XML that would be sent to a destination, of each running domain (uuid)."""
    found = {}
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        with suppress(libvirt.libvirtError):  # gone between the list and the question
            found[domain.UUIDString()] = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE)
    return found


def offer(connection: Any, wanted: Sequence[tuple[Instance, str]], host: str) -> Offer:
    """Return what a host has, and why it cannot run machines like these (an instance and its XML)."""
    networks = None
    with suppress(libvirt.libvirtError):  # a host without libvirt's network driver
        active = connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
        networks = frozenset(network.name() for network in active)
    return Offer(
        networks=networks,
        pool_folders=pool_folders(connection),
        misfits=tuple(
            cpu_problem(connection, instance, xml, host) or machine_problem(connection, instance, host)
            for instance, xml in wanted
        ),
    )


def cpu_problem(connection: Any, instance: Instance, xml: str, host: str) -> str | None:
    """Return why the CPU of a destination cannot run the instance; None when it can, or cannot be compared."""
    cpu = cpu_to_compare(xml)
    if cpu is None:
        return None
    try:
        verdict = connection.compareHypervisorCPU(
            None, instance.arch, instance.machine, instance.virt_type, cpu,
            libvirt.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE,
        )  # fmt: skip
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_CPU_INCOMPATIBLE:
            return None
        detail = str(error).rpartition(": ")[2].rstrip(".")
        return f"The CPU of {host} lacks what {instance.name} was started with ({detail}); choose another host."
    if verdict == libvirt.VIR_CPU_COMPARE_INCOMPATIBLE:
        return f"The CPU of {host} lacks features that {instance.name} was started with; choose another host."
    return None


def machine_problem(connection: Any, instance: Instance, host: str) -> str | None:
    """Return why no QEMU of a destination can be this machine; None when one can, or nothing is known."""
    try:
        connection.getDomainCapabilities(
            instance.emulator or None,
            instance.arch or None,
            instance.machine or None,
            instance.virt_type or None,
        )
    except libvirt.libvirtError as error:
        text = str(error).lower()
        if "machine" in text:
            return f"QEMU on {host} does not know the machine type {instance.machine}; upgrade QEMU there."
        if "emulator" in text or "binary" in text:
            return f"{host} has no {instance.emulator or 'QEMU'}; install it there."
        if "virttype" in text or "virtualization type" in text:
            return f"{host} cannot run {instance.virt_type} instances; is /dev/kvm there?"
    return None


def missing_networks(connection: Any, instance: Instance) -> tuple[str, ...]:
    """Return the libvirt networks of the instance that the host lacks or that are not active."""
    wanted = {card.source for card in instance.interfaces if card.kind == "network" and card.source}
    if not wanted:
        return ()
    active = {network.name() for network in connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)}
    return tuple(sorted(wanted - active))


def pool_folders(connection: Any) -> frozenset[str] | None:
    """Return the target folders of active storage pools; None where the host has no storage driver."""
    from defusedxml.ElementTree import fromstring

    folders = set()
    try:
        for pool in connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
            if path := fromstring(pool.XMLDesc()).findtext("target/path"):
                folders.add(path.strip().rstrip("/") or "/")
    except libvirt.libvirtError:
        return None
    return frozenset(folders)


def addresses(connection: Any, uuid: str) -> tuple[str, ...]:
    """Return the guest's addresses as its agent, DHCP leases and the host's ARP table know them."""
    found: list[str] = []
    domain = connection.lookupByUUIDString(uuid)
    for origin in (
        libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
        libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
        libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
    ):
        with suppress(libvirt.libvirtError):
            for card in domain.interfaceAddresses(origin).values():
                found += [entry["addr"] for entry in card.get("addrs") or ()]
    return tuple(address for address in dict.fromkeys(found) if not _of_one_machine(address))


def _of_one_machine(address: str) -> bool:
    return address.startswith(("127.", "fe80:")) or address == "::1"


def version(number: int) -> tuple[int, int, int]:
    """Split libvirt's 11003000 into (11, 3, 0)."""
    return number // 1_000_000, number // 1_000 % 1_000, number % 1_000
