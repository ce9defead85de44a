"""What stands in the way of a move: facts in, verdict out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import Disk, Host, Instance, InstanceState, Interface, Inventory
from hotfoot.migration.destination import rank
from hotfoot.migration.facts import DeclaredStorage, FileSight, HostFiles, PairFacts
from hotfoot.migration.options import MigrationOptions, Mode
from hotfoot.migration.policy import BUILT_IN
from hotfoot.migration.preflight import Verdict, check_inventory, check_pair
from hotfoot.migration.selection import check_host, find_instance
from hotfoot.migration.sharing import LOCAL_FS, SHARED_FS, Sharing, judge

GIB = 1024**3
PATH = "/var/lib/nova/instances/web1.qcow2"
VDA = Disk(target="vda", kind="file", source=PATH, format="qcow2", cache="none")
WEB1 = Instance(
    uuid="aaaa0000-0000-4000-8000-000000000001", name="web1", host="n1", state=InstanceState.RUNNING,
    persistent=True, vcpus=1, memory_bytes=GIB, disks=(VDA,),
    interfaces=(Interface(mac="52:54:00:00:00:01", kind="bridge", source="br0"),),
)  # fmt: skip
SHARED = FileSight(path=PATH, exists=True, inode=7, fs_type="nfs4", mount_source="s:/vms", size_bytes=GIB)
LOCAL = replace(SHARED, fs_type="ext4", mount_source="/dev/sda1", free_bytes=9 * GIB)
GONE = replace(LOCAL, exists=False, inode=0, size_bytes=0)


def _host(name: str, *, free: int = 8 * GIB, problem: str | None = None, qemu: int = 10) -> Host:
    return Host(
        name=name, address="10.0.0.1", problem=problem, qemu_version=(qemu, 0, 0), memory_total_bytes=16 * GIB,
        memory_available_bytes=free,
    )  # fmt: skip


def _inventory(*instances: Instance, n2: Host | None = None) -> Inventory:
    return Inventory((_host("n1"), n2 or _host("n2"), _host("n3", free=9 * GIB)), instances or (WEB1,))


def _facts(source: FileSight | None, destination: FileSight | None) -> PairFacts:
    def seen(sight: FileSight | None) -> HostFiles:
        return HostFiles(files={PATH: sight}) if sight else HostFiles(problem="no SSH")

    return PairFacts(
        destination="n2", source_files=seen(source), destination_files=seen(destination), pool_folders=frozenset()
    )


def _verdict(facts: PairFacts, options: MigrationOptions | None = None, **more: object) -> Verdict:
    inventory = more.get("inventory") or _inventory()
    assert isinstance(inventory, Inventory)
    return check_pair(inventory, WEB1, facts, options or MigrationOptions(), (DeclaredStorage("/var/lib", True),))


def test_one_file_on_both_is_a_live_migration() -> None:
    verdict = _verdict(_facts(SHARED, SHARED))
    assert verdict.obstacles == ()
    assert verdict.order is not None
    assert (verdict.mode, verdict.order.copied_disks) == (Mode.LIVE, ())


MUST_FINISH = MigrationOptions(policy=BUILT_IN["must-finish"])


def _with_userfaultfd(facts: PairFacts, able: bool | None = True) -> PairFacts:
    return replace(facts, destination_files=replace(facts.destination_files, userfaultfd=able))


def test_post_copy_is_prepared_where_policy_and_destination_allow_it() -> None:
    order = _verdict(_with_userfaultfd(_facts(SHARED, SHARED)), MUST_FINISH).order
    assert order is not None
    assert order.post_copy
    assert order.throttle is None, "it comes after post-copy, and would begin at once"
    balanced = _verdict(_with_userfaultfd(_facts(SHARED, SHARED))).order
    assert balanced is not None
    assert not balanced.post_copy
    assert balanced.throttle is not None


@pytest.mark.parametrize(
    ("able", "options", "words"),
    [
        (False, MUST_FINISH, "may not use userfaultfd"),
        (None, MUST_FINISH, "is not known"),
        (True, replace(MUST_FINISH, parallel=2), "needs QEMU 10.1.0"),
    ],
)
def test_without_its_preconditions_post_copy_is_left_out_with_the_reason(
    able: bool | None, options: MigrationOptions, words: str
) -> None:
    verdict = _verdict(_with_userfaultfd(_facts(SHARED, SHARED), able), options)
    assert verdict.order is not None
    assert not verdict.order.post_copy
    assert verdict.order.throttle is not None, "the next step takes its place"
    assert any(words in remark for remark in verdict.remarks)


def test_post_copy_is_not_prepared_where_disks_are_copied_too() -> None:
    facts = replace(_facts(LOCAL, GONE), pool_folders=frozenset({"/var/lib/nova/instances"}))
    order = _verdict(_with_userfaultfd(facts), MUST_FINISH).order
    assert order is not None
    assert order.copied_disks
    assert not order.post_copy


def test_a_local_disk_is_copied_where_a_pool_can_make_it() -> None:
    facts = replace(_facts(LOCAL, GONE), pool_folders=frozenset({"/var/lib/nova/instances"}))
    verdict = _verdict(facts)
    assert verdict.order is not None
    assert (verdict.mode, verdict.order.copied_disks) == (Mode.BLOCK, ("vda",))


def test_a_missing_pool_is_told_with_the_command_that_makes_one() -> None:
    verdict = _verdict(_facts(LOCAL, GONE))
    assert verdict.order is None
    assert "virsh pool-define-as instances dir --target /var/lib/nova/instances" in verdict.obstacles[0]


def test_a_full_destination_is_an_obstacle() -> None:
    verdict = _verdict(_facts(LOCAL, replace(GONE, free_bytes=5)))
    assert any("no room on n2 for vda" in sentence for sentence in verdict.obstacles)


@pytest.mark.parametrize(
    ("source", "destination", "words"),
    [
        (SHARED, replace(SHARED, exists=False), "missing on n2"),
        (SHARED, GONE, "mount the shared storage on n2"),
        (SHARED, replace(LOCAL), "one file reached in two ways"),
        (LOCAL, SHARED, "one file reached in two ways"),
        (SHARED, replace(SHARED, mount_source="replica:/vms"), "one file reached in two ways"),
    ],
)
def test_storage_that_does_not_fit_is_refused(source: FileSight, destination: FileSight, words: str) -> None:
    verdict = _verdict(_facts(source, destination))
    assert verdict.order is None
    assert words in verdict.obstacles[0]


def test_without_ssh_the_declaration_counts_and_the_operator_is_told() -> None:
    verdict = _verdict(_facts(None, None))
    assert verdict.order is not None
    assert verdict.mode is Mode.LIVE
    assert any("could not be looked at" in remark for remark in verdict.remarks)


def test_insisting_is_obeyed_only_where_it_is_safe() -> None:
    assert "leave out --block" in _verdict(_facts(SHARED, SHARED), MigrationOptions(block=True)).obstacles[0]
    assert "leave out --no-block" in _verdict(_facts(LOCAL, LOCAL), MigrationOptions(block=False)).obstacles[0]
    pools = frozenset({"/var/lib/nova/instances"})
    mounted_elsewhere = replace(_facts(SHARED, GONE), pool_folders=pools)
    assert _verdict(replace(mounted_elsewhere), MigrationOptions(block=True)).mode is Mode.BLOCK


def test_every_obstacle_is_reported_not_the_first() -> None:
    facts = replace(
        _facts(SHARED, replace(SHARED, exists=False)),
        cpu_problem="cpu.", machine_problem="machine.", missing_networks=("default",), job_under_way=True,
    )  # fmt: skip
    facts = replace(facts, destination_files=replace(facts.destination_files, missing_devices=("br0",)))
    verdict = _verdict(facts, inventory=_inventory(n2=_host("n2", free=5)))
    told = " ".join(verdict.obstacles)
    for words in ("cpu.", "machine.", "'default'", "already being migrated", "br0", "no room", "missing on n2"):
        assert words in told
    assert verdict.order is None


def test_an_older_qemu_is_a_remark_only() -> None:
    verdict = _verdict(_facts(SHARED, SHARED), inventory=_inventory(n2=_host("n2", qemu=8)))
    assert verdict.order is not None
    assert "8.0.0) is older than on n1 (10.0.0)" in verdict.remarks[0]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(WEB1, host="n2", name="x", state=InstanceState.SHUT_OFF), "same UUID is defined on n2"),
        (replace(WEB1, host="n2", state=InstanceState.PAUSED), "same UUID runs on n2"),
        (replace(WEB1, host="n2"), "same UUID runs on n2"),
        (replace(WEB1, host="n2", state=InstanceState.IN_TRANSIT), "already being migrated"),
        (replace(WEB1, host="n2", uuid="b"), "another instance named web1"),
        (replace(WEB1, host="n2", uuid="b", name="x", memory_bytes=16 * GIB), "no room on n2"),
    ],
)
def test_what_is_on_the_destination_already(other: Instance, words: str) -> None:
    assert words in " ".join(check_inventory(_inventory(WEB1, other), WEB1, "n2"))


def test_its_own_definition_there_that_is_not_used_is_a_remark_only() -> None:
    left = replace(WEB1, host="n2", state=InstanceState.SHUT_OFF)
    verdict = _verdict(_facts(SHARED, SHARED), inventory=_inventory(WEB1, left))
    assert verdict.order is not None
    assert "n2 has a definition of web1 that is shut off; it is replaced" in verdict.remarks[0]


def test_state_source_and_silence() -> None:
    off = replace(WEB1, state=InstanceState.SHUT_OFF)
    assert "is shut off" in check_inventory(_inventory(off), off, "n2")[0]
    assert "same host" in check_inventory(_inventory(), WEB1, "n1")[0]
    assert check_inventory(_inventory(n2=_host("n2", problem="It is dead.")), WEB1, "n2") == ("It is dead.",)


def test_the_destination_with_the_most_free_memory_is_chosen_and_the_others_explained() -> None:
    assert rank(_inventory(), WEB1).names == ("n3", "n2")
    candidates = rank(_inventory(n2=_host("n2", problem="It is dead.")), WEB1)
    assert (candidates.names, candidates.passed_over) == (("n3",), (("n2", "It is dead."),))


def test_a_host_out_of_placement_is_passed_over_with_the_reason() -> None:
    candidates = rank(_inventory(), WEB1, {"n3": "n3 is out of placement."})
    assert (candidates.names, candidates.passed_over) == (("n2",), (("n3", "n3 is out of placement."),))


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6))
def test_no_candidate_lacks_room_or_is_the_source(free_gib: list[int]) -> None:
    hosts = tuple(_host(f"h{i}", free=free * GIB) for i, free in enumerate(free_gib))
    inventory = Inventory((_host("n1"), *hosts), (WEB1,))
    candidates = rank(inventory, WEB1)
    free = [inventory.memory_free_bytes(name) for name in candidates.names]
    assert "n1" not in candidates.names
    assert free == sorted(free, reverse=True)
    assert all(each >= WEB1.memory_bytes for each in free)
    assert len(candidates.names) + len(candidates.passed_over) == len(hosts)


sights = st.builds(
    FileSight,
    path=st.just(PATH),
    exists=st.booleans(),
    inode=st.integers(1, 2),
    fs_type=st.sampled_from([*sorted(SHARED_FS), *sorted(LOCAL_FS), "9p", "fuse.sshfs"]),
    mount_source=st.sampled_from(["s:/vms", "t:/vms", "/dev/sda1"]),
)


@given(sights, sights)
def test_a_disk_is_never_copied_onto_itself(source: FileSight, destination: FileSight) -> None:
    found = judge(VDA, source, destination, ())
    if found.sharing is Sharing.LOCAL:
        assert source.fs_type in LOCAL_FS
        assert destination.fs_type not in SHARED_FS or source.inode != destination.inode or not destination.exists
    if found.sharing is Sharing.SHARED:
        assert source.fs_type == destination.fs_type
        assert source.fs_type in SHARED_FS


def test_block_devices_are_told_by_their_name_in_the_world() -> None:
    disk = Disk(target="vdb", kind="block", source="/dev/mapper/a")
    here = FileSight(path="/dev/mapper/a", exists=True, wwid="0x5000")
    assert judge(disk, here, here, ()).sharing is Sharing.SHARED
    assert judge(disk, here, replace(here, wwid="0x6000"), ()).sharing is Sharing.LOCAL
    assert judge(disk, here, replace(here, wwid=""), ()).sharing is Sharing.UNKNOWN


def test_an_instance_is_found_by_name_uuid_and_its_first_digits() -> None:
    for wanted in ("web1", WEB1.uuid.upper(), "aaaa0"):
        assert find_instance(_inventory(), wanted) == WEB1


def test_nothing_is_guessed() -> None:
    twin = replace(WEB1, host="n2", uuid="bbbb0000-0000-4000-8000-000000000001")
    with pytest.raises(HotfootError, match=r"fits 2 instances.*--from HOST") as caught:
        find_instance(_inventory(WEB1, twin), "web1")
    assert caught.value.status is ExitStatus.REFUSED
    assert find_instance(_inventory(WEB1, twin), "web1", "n2") == twin
    with pytest.raises(HotfootError, match="did you mean web1"):
        find_instance(_inventory(), "web")
    with pytest.raises(HotfootError, match=r"It may be on n2, which did not answer: It is dead."):
        find_instance(_inventory(n2=_host("n2", problem="It is dead.")), "db7")
    with pytest.raises(HotfootError, match="no host 'n22'"):
        check_host(_inventory(), "n22")


def test_of_one_uuid_on_two_hosts_the_live_one_is_meant() -> None:
    half = replace(WEB1, host="n2", state=InstanceState.IN_TRANSIT)
    assert find_instance(_inventory(half, WEB1), "web1").host == "n1"
    other_half = replace(half, host="n3")
    assert find_instance(_inventory(half, other_half), "web1").uuid == WEB1.uuid
