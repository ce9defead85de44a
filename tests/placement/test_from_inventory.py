"""What was seen of a cluster, as a snapshot for planning."""

from __future__ import annotations

from dataclasses import replace

from hotfoot.inventory import Disk, Host, Instance, InstanceState, Interface, Inventory
from hotfoot.migration.facts import DeclaredStorage, FileSight, HostFiles
from hotfoot.placement.from_inventory import (
    HostSeen,
    InstanceSeen,
    Sight,
    copied_disks,
    paths_to_look_at,
    snapshot_of,
)
from hotfoot.placement.snapshot import MEMORY, VCPUS

GIB = 1 << 30
FOLDER = "/var/lib/instances"
PATH = f"{FOLDER}/web1.qcow2"
WEB1 = Instance(
    uuid="11111111-0000-0000-0000-000000000001",
    name="web1",
    host="n1",
    state=InstanceState.RUNNING,
    persistent=True,
    vcpus=2,
    memory_bytes=4 * GIB,
    disks=(Disk(target="vda", kind="file", source=PATH, format="qcow2"),),
)


def host(name: str, *, available: int = 12) -> Host:
    return Host(
        name=name,
        address=name,
        libvirt_version=(10, 0, 0),
        qemu_version=(8, 0, 0),
        cpus=8,
        memory_total_bytes=16 * GIB,
        memory_available_bytes=available * GIB,
    )


def folder(fs_type: str, source: str) -> FileSight:
    return FileSight(path=FOLDER, exists=True, inode=2, fs_type=fs_type, mount_source=source, free_bytes=100 * GIB)


def files(*sights: FileSight, missing: tuple[str, ...] = ()) -> HostFiles:
    return HostFiles(files={sight.path: sight for sight in sights}, missing_devices=missing)


def sight(*instances: Instance, n1: HostSeen | None = None, n2: HostSeen | None = None) -> Sight:
    there = replace(folder("nfs4", "nas:/srv"), path=PATH, inode=77, size_bytes=GIB)
    shared = folder("nfs4", "nas:/srv")
    return Sight(
        inventory=Inventory((host("n1"), host("n2")), instances or (WEB1,)),
        hosts={
            "n1": n1 or HostSeen(files=files(there, shared), networks=frozenset(), link_bytes_per_s=125_000_000),
            "n2": n2 or HostSeen(files=files(shared), networks=frozenset(), link_bytes_per_s=125_000_000),
        },
        instances={WEB1.uuid: InstanceSeen(cpus=1.5, resident_bytes=3 * GIB, transfer_bytes=2 * GIB)},
    )


def test_sizes_loads_links_and_what_a_host_uses_itself() -> None:
    snapshot = snapshot_of(sight())
    n1 = snapshot.hosts[0]
    assert n1.resources[MEMORY].total == 16 * GIB
    assert n1.resources[MEMORY].reserved == 1 * GIB, "16 less 12 available less 3 of web1's process"
    assert n1.resources[VCPUS].capacity == 8 * 16
    assert n1.link_bytes_per_s == 125_000_000
    (web1,) = snapshot.instances
    assert (web1.host, web1.sizes) == ("n1", {MEMORY: 4 * GIB, VCPUS: 2})
    assert web1.load == {"cpu": 1.5, MEMORY: 3 * GIB}
    assert web1.transfer_bytes == 2 * GIB
    assert web1.movable
    assert web1.impossible == {}


def test_what_is_not_measured_is_left_open() -> None:
    snapshot = snapshot_of(replace(sight(), instances={}))
    assert snapshot.instances[0].transfer_bytes is None
    assert snapshot.instances[0].load == {}


def test_a_host_that_does_not_answer_is_down() -> None:
    silent = Host(name="n2", address="n2", problem="n2 does not answer")
    seen = replace(sight(), inventory=Inventory((host("n1"), silent), (WEB1,)))
    assert [one.up for one in snapshot_of(seen).hosts] == [True, False]


def test_shared_storage_that_a_host_has_not_mounted_makes_it_impossible() -> None:
    bare = HostSeen(files=files(folder("ext4", "/dev/sda1")), networks=frozenset())
    why = snapshot_of(sight(n2=bare)).instances[0].impossible["n2"]
    assert "mount the shared storage on n2" in why


def test_a_local_disk_goes_along_where_a_copy_can_be_made() -> None:
    local = folder("ext4", "/dev/sda1")
    own = replace(local, path=PATH, inode=5, size_bytes=GIB)
    here = HostSeen(files=files(own, local), networks=frozenset())
    with_pool = HostSeen(files=files(local), networks=frozenset(), pool_folders=frozenset({FOLDER}))
    seen = sight(n1=here, n2=with_pool)
    assert copied_disks(seen, WEB1) == ("vda",)
    assert snapshot_of(seen).instances[0].impossible == {}
    copied = replace(seen, instances={WEB1.uuid: InstanceSeen(transfer_bytes=2 * GIB, copied_bytes=GIB)})
    assert snapshot_of(copied).instances[0].transfer_bytes == 3 * GIB
    without = sight(n1=here, n2=replace(with_pool, pool_folders=frozenset()))
    assert "storage pool" in snapshot_of(without).instances[0].impossible["n2"]


def test_where_hosts_cannot_be_asked_the_declared_storage_counts() -> None:
    blind = HostSeen(files=HostFiles(problem="no SSH"))
    seen = replace(sight(n1=blind, n2=blind), storage=(DeclaredStorage(FOLDER, False),))
    assert copied_disks(seen, WEB1) == ("vda",)
    assert copied_disks(replace(seen, storage=(DeclaredStorage(FOLDER, True),)), WEB1) == ()


def test_a_bridge_a_network_or_a_cpu_that_is_lacking_makes_a_host_impossible() -> None:
    shared = files(folder("nfs4", "nas:/srv"), missing=("br7",))
    card = Interface(mac="52:54:00:00:00:01", kind="bridge", source="br7")
    n2 = HostSeen(files=shared, networks=frozenset())
    assert "br7" in snapshot_of(sight(replace(WEB1, interfaces=(card,)), n2=n2)).instances[0].impossible["n2"]
    assert snapshot_of(sight(n2=n2)).instances[0].impossible == {}, "web1 does not need that bridge"
    card = replace(card, kind="network", source="lan")
    assert "lan" in snapshot_of(sight(replace(WEB1, interfaces=(card,)))).instances[0].impossible["n2"]
    n2 = HostSeen(files=files(folder("nfs4", "nas:/srv")), misfits={WEB1.uuid: "The CPU of n2 lacks avx2."})
    assert snapshot_of(sight(n2=n2)).instances[0].impossible["n2"] == "The CPU of n2 lacks avx2."


def test_a_lack_of_memory_is_nothing_that_cannot_be_planned_for() -> None:
    fat = replace(WEB1, uuid="2", name="fat", host="n2", memory_bytes=15 * GIB, disks=())
    assert snapshot_of(sight(WEB1, fat)).instances[0].impossible == {}


def test_what_does_not_run_takes_nothing_and_stays() -> None:
    off = replace(WEB1, state=InstanceState.SHUT_OFF)
    (one,) = snapshot_of(sight(off)).instances
    assert (one.movable, one.sizes) == (False, {})
    assert one.unmovable_because == "it is shut off, and on plain libvirt only what runs or is paused is moved"


def test_what_uses_a_device_of_its_host_or_is_being_migrated_stays() -> None:
    (bound,) = snapshot_of(sight(replace(WEB1, host_devices=("PCI device 0000:01:00.0",)))).instances
    assert bound.unmovable_because == "it uses PCI device 0000:01:00.0 of its host"
    (moving,) = snapshot_of(replace(sight(), moving=frozenset({WEB1.uuid}))).instances
    assert moving.unmovable_because == "it is being migrated"


def test_the_other_half_of_a_migration_keeps_its_memory_on_the_destination() -> None:
    half = replace(WEB1, host="n2", state=InstanceState.IN_TRANSIT)
    for order in ((WEB1, half), (half, WEB1)):
        snapshot = snapshot_of(replace(sight(*order), moving=frozenset({WEB1.uuid})))
        assert [(one.id, one.host) for one in snapshot.instances] == [(WEB1.uuid, "n1")]
        assert snapshot.hosts[1].used_by_others == {MEMORY: 4 * GIB}


def test_a_host_is_asked_about_its_own_files_and_everyones_folders() -> None:
    other = replace(
        WEB1,
        uuid="2",
        name="db1",
        host="n2",
        disks=(Disk(target="vda", kind="block", source="/dev/vg/db1"),),
        boot_files=("/boot/kernel",),
    )
    inventory = Inventory((host("n1"), host("n2")), (WEB1, other))
    assert paths_to_look_at(inventory, "n1") == (PATH, FOLDER, "/boot/kernel", "/dev/vg/db1")
    assert paths_to_look_at(inventory, "n2") == ("/dev/vg/db1", FOLDER, "/boot/kernel")
