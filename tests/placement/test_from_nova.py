"""What Nova and Placement say, as a snapshot for planning."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.inventory import Disk, Host, Instance, InstanceState, Inventory
from hotfoot.nova_words import NovaHost, NovaServer, ServerGroup
from hotfoot.placement.from_inventory import InstanceSeen
from hotfoot.placement.from_nova import Aggregate, NovaSight, Promised, Provider, WrittenDown, let_up, snapshot_by_nova
from hotfoot.placement.snapshot import CPU, MEMORY, VCPUS, Cold, RuleKind, Snapshot

MIB = 1 << 20
UP = NovaHost(enabled=True, up=True, availability_zone="az1")
SERVER = NovaServer(status="ACTIVE", project_id="p1")


def instance(name: str, host: str, server: NovaServer = SERVER) -> Instance:
    return Instance(
        uuid=f"id-{name}", name=name, host=host, state=InstanceState.RUNNING, persistent=True, vcpus=2,
        memory_bytes=512 * MIB, nova=server,
    )  # fmt: skip


def host(name: str, nova: NovaHost = UP, problem: str | None = None) -> Host:
    return Host(name=name, address=name, nova=nova, problem=problem)


def provider(**allocations: dict[str, int]) -> Provider:
    promised = {
        "VCPU": Promised(total=8, ratio=4.0, most=8),
        "MEMORY_MB": Promised(total=8192, reserved=512, most=8192),
        "DISK_GB": Promised(total=100),
    }
    return Provider(promised=promised, allocations={f"id-{name}": taken for name, taken in allocations.items()})


TAKEN = {"VCPU": 2, "MEMORY_MB": 512, "DISK_GB": 1}
WEB1 = instance("web1", "n1")


def snapshot(*instances: Instance, n2: Host | None = None, aggregates: tuple[Aggregate, ...] = ()) -> Snapshot:
    sight = NovaSight(
        inventory=Inventory((host("n1"), n2 or host("n2")), instances or (WEB1,)),
        written=WrittenDown(providers={"n1": provider(web1=TAKEN), "n2": provider()}, aggregates=aggregates),
    )
    return snapshot_by_nova(sight)


def with_specs(**specs: str) -> Instance:
    pairs = tuple((key.replace("__", ":"), value) for key, value in specs.items())
    return replace(WEB1, nova=replace(SERVER, extra_specs=pairs))


def why_not(one: Instance, n2: Host | None = None, aggregates: tuple[Aggregate, ...] = ()) -> str | None:
    return snapshot(one, n2=n2, aggregates=aggregates).instances[0].impossible.get("n2")


def test_room_is_what_placement_promises_and_sizes_are_what_is_allocated() -> None:
    found = snapshot()
    n1 = found.hosts[0]
    assert {name: resource.capacity for name, resource in n1.resources.items()} == (
        {VCPUS: 32, MEMORY: 7680 * MIB, "DISK_GB": 100}
    )
    (web1,) = found.instances
    assert web1.sizes == {VCPUS: 2, MEMORY: 512 * MIB, "DISK_GB": 1}
    assert found.held_on_both == {VCPUS, MEMORY, "DISK_GB"}
    assert n1.load_capacity == {CPU: 8.0, MEMORY: 8192.0 * MIB}


CLASSES = st.sampled_from(["VCPU", "MEMORY_MB", "CUSTOM_GOLD"])
ALLOCATIONS = st.dictionaries(
    st.sampled_from(["web1", "web2", "gone", "migration"]), st.dictionaries(CLASSES, st.integers(1, 9))
)


@given(here=ALLOCATIONS, there=ALLOCATIONS)
def test_nothing_that_is_allocated_is_counted_twice_or_forgotten(
    here: dict[str, dict[str, int]], there: dict[str, dict[str, int]]
) -> None:
    written = {"n1": provider(**here), "n2": provider(**there)}
    sight = NovaSight(
        inventory=Inventory((host("n1"), host("n2")), (WEB1, instance("web2", "n2"))),
        written=WrittenDown(providers=written),
        moving=frozenset({"id-web1", "id-web2"}),
    )
    found = snapshot_by_nova(sight)
    for each in found.hosts:
        for name, own, unit in ((VCPUS, "VCPU", 1), (MEMORY, "MEMORY_MB", MIB), ("CUSTOM_GOLD", "CUSTOM_GOLD", 1)):
            taken = sum(one.sizes.get(name, 0) for one in found.instances if one.host == each.name)
            allocated = sum(one.get(own, 0) for one in written[each.name].allocations.values())
            assert taken + each.used_by_others.get(name, 0) == allocated * unit


def test_what_placement_does_not_know_is_as_large_as_its_flavour() -> None:
    sight = NovaSight(inventory=Inventory((host("n1"),), (WEB1,)), written=WrittenDown())
    (web1,) = snapshot_by_nova(sight).instances
    assert web1.sizes == {VCPUS: 2, MEMORY: 512 * MIB}


@pytest.mark.parametrize(
    ("nova", "expected"),
    [
        (UP, (True, False)),
        (replace(UP, enabled=False, disabled_reason="new disks"), (True, True)),
        (replace(UP, enabled=False, disabled_reason="hotfoot drain, plan x, by me"), (True, False)),
    ],
)
def test_what_somebody_else_disabled_is_in_maintenance(nova: NovaHost, expected: tuple[bool, bool]) -> None:
    found = snapshot(n2=host("n2", nova)).hosts[1]
    assert (found.up, found.maintenance) == expected


def test_a_dead_service_is_a_host_that_is_down() -> None:
    assert snapshot(n2=host("n2", replace(UP, up=False), "nova-compute on n2 is down.")).hosts[1].up is False


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (replace(SERVER, task_state="rebooting"), "Nova works on it (rebooting)"),
        (replace(SERVER, status="ERROR"), "`hotfoot repair-state web1` looks"),
        (replace(SERVER, status="SHUTOFF"), "only what is ACTIVE or PAUSED can move live"),
        (replace(SERVER, extra_specs=(("pci_passthrough:alias", "a:1"),)), "PCI devices of its host"),
        (replace(SERVER, extra_specs=(("hw:mem_encryption", "true"),)), "memory that its host encrypts"),
        (replace(SERVER, extra_specs=(("hw:mem_encryption", "Y"),)), "memory that its host encrypts"),
    ],
)
def test_what_binds_an_instance_to_its_host(server: NovaServer, words: str) -> None:
    (one,) = snapshot(replace(WEB1, nova=server)).instances
    assert words in (one.unmovable_because or "")
    assert not one.movable


@pytest.mark.parametrize("no", ["false", "False", "no", "off", "n", "0", ""])
def test_what_is_not_asked_for_binds_nothing(no: str) -> None:
    (one,) = snapshot(with_specs(hw__mem_encryption=no, hw__cpu_policy="dedicated")).instances
    assert (one.movable, one.impossible) == (True, {})


def test_an_instance_stays_in_its_availability_zone() -> None:
    assert why_not(WEB1, host("n2", replace(UP, availability_zone="az2"))) == "its availability zone is az1"
    assert why_not(WEB1) is None


def test_traits_of_the_flavour_decide() -> None:
    gold = host("n2", replace(UP, traits=("CUSTOM_GOLD",)))
    assert why_not(with_specs(trait__CUSTOM_GOLD="required")) == "its flavour requires the trait CUSTOM_GOLD"
    assert why_not(with_specs(trait__CUSTOM_GOLD="required"), gold) is None
    assert why_not(with_specs(trait__CUSTOM_GOLD="forbidden"), gold) == "its flavour forbids the trait CUSTOM_GOLD"


def test_aggregates_for_others_and_aggregates_that_are_asked_for() -> None:
    others = Aggregate(name="a", hosts=frozenset({"n2"}), metadata={"filter_tenant_id": "p7, p8"})
    assert why_not(WEB1, aggregates=(others,)) == "an aggregate there is for other projects"
    ours = Aggregate(name="b", hosts=frozenset({"n2"}), metadata={"filter_tenant_id2": "p1"})
    assert why_not(WEB1, aggregates=(others, ours)) is None
    wants = with_specs(aggregate_instance_extra_specs__disk="ssd")
    assert why_not(wants) == "its flavour requires an aggregate with disk=ssd"
    assert why_not(wants, aggregates=(Aggregate(name="c", hosts=frozenset({"n2"}), metadata={"disk": "ssd"}),)) is None


def test_more_than_one_instance_may_have_of_a_class() -> None:
    large = {"VCPU": 9, "MEMORY_MB": 512}
    sight = NovaSight(
        inventory=Inventory((host("n1"), host("n2")), (WEB1,)),
        written=WrittenDown(providers={"n1": provider(web1=large), "n2": provider()}),
    )
    assert "9 VCPU, more than one instance may have" in snapshot_by_nova(sight).instances[0].impossible["n2"]


def test_server_groups_are_rules_and_two_of_one_name_are_told_apart() -> None:
    apart, soft = ServerGroup("g1", "web", "anti-affinity"), ServerGroup("g2", "web", "soft-affinity")
    lonely = ServerGroup("g3", "alone", "anti-affinity")
    found = snapshot(
        instance("web1", "n1", replace(SERVER, server_groups=(apart, lonely))),
        instance("web2", "n2", replace(SERVER, server_groups=(apart, soft))),
        instance("web3", "n2", replace(SERVER, server_groups=(soft,))),
    )
    assert [(rule.name, rule.kind, rule.hard, rule.instances) for rule in found.rules] == [
        ("web (g1)", RuleKind.APART, True, ("id-web1", "id-web2")),
        ("web (g2)", RuleKind.TOGETHER, False, ("id-web2", "id-web3")),
    ]


def test_nova_keeps_what_is_bound_by_affinity_where_another_member_is() -> None:
    close = replace(SERVER, server_groups=(ServerGroup("g1", "close", "affinity"),))
    alone = snapshot(instance("web1", "n1", close))
    assert "server group close (affinity)" in alone.instances[0].impossible["n2"]
    parted = snapshot(instance("web1", "n1", close), instance("web2", "n2", close))
    assert [dict(one.impossible) for one in parted.instances] == [{}, {}]


def test_what_was_measured_is_kept() -> None:
    sight = NovaSight(
        inventory=Inventory((host("n1"),), (WEB1,)),
        measured={WEB1.uuid: InstanceSeen(cpus=0.5, resident_bytes=MIB, transfer_bytes=2 * MIB)},
        links={"n1": 1000},
    )
    found = snapshot_by_nova(sight)
    assert found.instances[0].load == {CPU: 0.5, MEMORY: float(MIB)}
    assert (found.instances[0].transfer_bytes, found.hosts[0].link_bytes_per_s) == (2 * MIB, 1000)


@pytest.mark.parametrize(
    ("server", "state", "cold"),
    [
        (SERVER, InstanceState.RUNNING, None),
        (replace(SERVER, status="SHUTOFF"), InstanceState.SHUT_OFF, Cold.OFF),
        (replace(SERVER, extra_specs=(("pci_passthrough:alias", "a:1"),)), InstanceState.RUNNING, Cold.STOPPED),
        (replace(SERVER, extra_specs=(("hw:tpm_version", "2.0"),)), InstanceState.RUNNING, Cold.STOPPED),
        (replace(SERVER, extra_specs=(("accel:device_profile", "d"),)), InstanceState.RUNNING, None),
        (replace(SERVER, status="SHUTOFF", task_state="powering-on"), InstanceState.SHUT_OFF, None),
        (replace(SERVER, status="VERIFY_RESIZE"), InstanceState.RUNNING, None),
        (replace(SERVER, status="ERROR"), InstanceState.RUNNING, None),
    ],
)
def test_what_nova_moves_cold_is_told_with_what_that_means(
    server: NovaServer, state: InstanceState, cold: Cold | None
) -> None:
    (one,) = snapshot(replace(WEB1, nova=server, state=state)).instances
    assert one.cold is cold
    assert one.movable is (server is SERVER)


def test_a_cold_migration_sends_local_disks_and_no_memory() -> None:
    disk = Disk(target="vda", kind="local", source="image a", size_bytes=3 << 30)
    off = replace(WEB1, nova=replace(SERVER, status="SHUTOFF"), state=InstanceState.SHUT_OFF, disks=(disk,))
    (one,) = snapshot(off).instances
    assert (one.transfer_bytes, one.downtime_ms) == (3 << 30, 0)


def test_a_host_that_hotfoot_had_taken_for_dead_is_seen_as_it_will_be_when_it_is_back() -> None:
    ours = replace(UP, enabled=False, disabled_reason="hotfoot evacuate, plan x", up=False, forced_down=True)
    theirs = replace(ours, disabled_reason="new disks")
    seen = Inventory((host("n1", ours, "down"), host("n2", ours, "down"), host("n3", theirs, "down")), ())
    assert [each.answers for each in let_up(seen, {"n1", "n3"}).hosts] == [True, False, False]
