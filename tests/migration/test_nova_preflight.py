from __future__ import annotations

from dataclasses import replace

import pytest

from hotfoot.inventory import Disk, Host, Instance, InstanceState, Inventory
from hotfoot.migration.facts import NovaFacts
from hotfoot.migration.nova_preflight import check_nova
from hotfoot.migration.options import MigrationOptions, Mode
from hotfoot.migration.policy import BUILT_IN
from hotfoot.nova_words import Capacity, NovaHost, NovaServer, ServerGroup

APART = ServerGroup("g1", "apart", "anti-affinity")
TOGETHER = ServerGroup("g2", "together", "affinity")
SERVER = NovaServer(status="ACTIVE", project_id="p", host_status="UP")
FACTS = NovaFacts(needs={"VCPU": 2, "MEMORY_MB": 512}, visible=True)
PLAIN = MigrationOptions()


def _instance(name: str = "web1", host: str = "n1", server: NovaServer = SERVER) -> Instance:
    return Instance(
        uuid=f"id-{name}", name=name, host=host, state=InstanceState.RUNNING, persistent=True, vcpus=2,
        memory_bytes=512 << 20, nova=server,
    )  # fmt: skip


def _host(name: str, nova: NovaHost) -> Host:
    return Host(name=name, address=name, nova=nova)


ROOMY = NovaHost(enabled=True, up=True, capacity=(Capacity("MEMORY_MB", 4096, 1024), Capacity("VCPU", 16, 0)))


def _inventory(there: NovaHost = ROOMY, *others: Instance) -> Inventory:
    return Inventory(hosts=(_host("n1", ROOMY), _host("n2", there)), instances=(_instance(), *others))


def _obstacles(
    instance: Instance | None = None,
    there: NovaHost = ROOMY,
    facts: NovaFacts = FACTS,
    options: MigrationOptions = PLAIN,
    destination: str = "n2",
    others: tuple[Instance, ...] = (),
) -> str:
    verdict = check_nova(_inventory(there, *others), instance or _instance(), destination, facts, options)
    assert (verdict.order is None) == bool(verdict.obstacles)
    return " ".join(verdict.obstacles)


def test_nothing_stands_in_the_way() -> None:
    verdict = check_nova(_inventory(), _instance(), "n2", FACTS, PLAIN)
    assert verdict.order is not None
    assert verdict.order.by_nova
    assert (verdict.obstacles, verdict.remarks, verdict.mode) == ((), (), Mode.LIVE)
    assert "Nova finds out whether local disks are copied too" in verdict.order.in_words()


def test_the_scheduler_may_choose() -> None:
    verdict = check_nova(_inventory(), _instance(), "", FACTS, PLAIN)
    assert verdict.order is not None
    assert verdict.order.destination == ""
    assert "Nova's scheduler chooses the host" in verdict.order.in_words()


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (replace(ROOMY, enabled=False, disabled_reason="new disks"), "n2 is disabled in Nova (new disks)"),
        (replace(ROOMY, up=False), "nova-compute on n2 is not up"),
        (replace(ROOMY, up=False, forced_down=True), "n2 is forced down in Nova"),
        (
            replace(ROOMY, capacity=(Capacity("MEMORY_MB", 1000, 600), Capacity("VCPU", 2, 1))),
            "512 MEMORY_MB are needed, and 400 are free; 2 VCPU are needed, and 1 are free",
        ),
    ],
)
def test_what_stands_in_the_way_on_the_destination(there: NovaHost, words: str) -> None:
    assert words in _obstacles(there=there)


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (replace(SERVER, status="SHUTOFF"), "moves only what is ACTIVE or PAUSED (--cold does)"),
        (replace(SERVER, status="ACTIVE", task_state="rebooting"), "Nova works on web1 (rebooting)"),
        (replace(SERVER, status="ERROR", fault="No valid host."), "in ERROR (No valid host), and running on n1"),
    ],
)
def test_what_stands_in_the_way_of_the_server(server: NovaServer, words: str) -> None:
    assert words in _obstacles(_instance(server=server))


def test_a_server_that_libvirt_has_on_another_host_than_nova_is_told_as_there_and_as_nothing_else() -> None:
    """Seen when RabbitMQ was restarted in the middle of a move: Nova lost its end."""
    lost = replace(FACTS, seen_elsewhere=("n2",))
    for server in (SERVER, replace(SERVER, status="ERROR", fault="Lost.")):
        for destination in ("n1", "n2", "n3", ""):
            verdict = check_nova(_inventory(), _instance(server=server), destination, lost, PLAIN)
            (told,) = verdict.obstacles
            assert told.startswith("web1 runs on n2, and Nova takes it to be on n1:")
            assert verdict.instance.host == "n2"
            assert verdict.order is None
    on_two = check_nova(_inventory(), _instance(), "n3", replace(FACTS, seen_elsewhere=("n2", "n3")), PLAIN)
    assert on_two.obstacles[0].startswith("web1 runs on n2 and n3, and Nova takes it to be on n1:")
    assert on_two.instance.host == "n1"


def test_a_source_whose_nova_compute_is_not_up_is_told_whatever_the_server_says_of_it() -> None:
    """With the server Nova tells UNKNOWN of a host that is not up, MAINTENANCE of a disabled one (compute/api.py)."""
    down = replace(_inventory(), hosts=(_host("n1", replace(ROOMY, up=False)), _host("n2", ROOMY)))
    for destination in ("n2", ""):
        for said in ("UP", "UNKNOWN", "MAINTENANCE", None):
            server = _instance(server=replace(SERVER, host_status=said))
            (told,) = check_nova(down, server, destination, FACTS, PLAIN).obstacles
            assert told.startswith("nova-compute on n1, the source, is down, so that Nova cannot move web1;")


def test_a_migration_that_runs_already_is_named_with_whose_it_is() -> None:
    moving = replace(FACTS, under_way="to n3, running, asked for by user u1")
    server = replace(SERVER, status="MIGRATING", task_state="migrating")
    told = _obstacles(_instance(server=server), facts=moving)
    assert (
        told == "web1 is already being migrated: to n3, running, asked for by user u1; `hotfoot abort web1` stops it."
    )


def test_what_a_broken_off_move_has_left_of_ports_is_named_before_nova_finds_no_valid_host() -> None:
    left = replace(FACTS, leftover_bindings={"n2": ("p1",), "n3": ("p1", "p2")})
    assert "has left the port p1 of web1 bound to n2" in _obstacles(facts=left)
    assert "`hotfoot repair-state web1`" in _obstacles(facts=left)
    anywhere = check_nova(_inventory(), _instance(), "", left, PLAIN)
    assert anywhere.obstacles == ()
    assert [word in " ".join(anywhere.remarks) for word in ("to n2, to which", "to n3, to which", "2 ports")] == [
        True
    ] * 3
    assert _obstacles(facts=replace(left, under_way="to n2")).count("bound") == 0
    assert _obstacles(facts=left, options=MigrationOptions(cold=True)) == ""


def test_the_same_host_and_a_server_on_none() -> None:
    assert "source and destination are the same host" in _obstacles(destination="n1")
    assert "on no host" in _obstacles(_instance(host=""))


def test_server_groups_forbid_hosts() -> None:
    apart, together = replace(SERVER, server_groups=(APART,)), replace(SERVER, server_groups=(TOGETHER,))
    there = (_instance("web2", "n2", apart),)
    assert "apart (anti-affinity) forbids n2 for web1: web2 is there" in _obstacles(
        _instance(server=apart), others=there
    )
    assert _obstacles(_instance(server=replace(SERVER, server_groups=(TOGETHER,))), others=there) == ""
    with_it = (_instance("web3", "n1", together),)
    assert "keeps web1 with web3, of which none is on n2" in _obstacles(_instance(server=together), others=with_it)
    soft = replace(SERVER, server_groups=(replace(APART, policy="soft-anti-affinity"),))
    assert _obstacles(_instance(server=soft), others=(_instance("web2", "n2", soft),)) == ""


def test_a_cold_migration_takes_what_is_shut_off_and_an_old_nova_takes_no_destination_for_it() -> None:
    off, cold = _instance(server=replace(SERVER, status="SHUTOFF")), MigrationOptions(cold=True)
    assert _obstacles(off, options=cold) == ""
    assert check_nova(_inventory(), off, "n2", FACTS, cold).mode is Mode.COLD
    assert "takes no destination" in _obstacles(options=cold, facts=replace(FACTS, names_cold_host=False))
    assert "for live migrations" in _obstacles(options=MigrationOptions(cold=True, block=True))


def test_where_all_disks_are_volumes_there_is_nothing_to_copy() -> None:
    volume, local = Disk(target="vda", kind="cinder", source="v1"), Disk(target="swap", kind="local", source="swap")
    block = MigrationOptions(block=True)
    assert "leave out --block" in _obstacles(replace(_instance(), disks=(volume,)), options=block)
    assert _obstacles(replace(_instance(), disks=(volume,))) == ""
    assert _obstacles(replace(_instance(), disks=(volume, local)), options=block) == ""


def test_what_was_to_be_moved_while_it_is_shut_off_is_not_stopped() -> None:
    planned = MigrationOptions(cold=True, only_off=True)
    assert "is ACTIVE now: it is not stopped for it" in _obstacles(options=planned)
    assert _obstacles(_instance(server=replace(SERVER, status="SHUTOFF")), options=planned) == ""


def test_what_nova_cannot_be_told_is_said_in_one_remark() -> None:
    options = MigrationOptions(bandwidth_bytes_per_s=1, parallel=4, compress=True, policy=BUILT_IN["must-finish"])
    verdict = check_nova(_inventory(), _instance(), "n2", FACTS, options)
    assert len(verdict.remarks) == 1
    for word in ("bandwidth", "connections", "compression", "must-finish", "nova.conf"):
        assert word in verdict.remarks[0]
    locked = check_nova(_inventory(), _instance(server=replace(SERVER, locked=True)), "n2", FACTS, PLAIN)
    assert "web1 is locked" in locked.remarks[0]
    blind = check_nova(_inventory(), _instance(), "n2", replace(FACTS, visible=False), PLAIN)
    assert "only what Nova tells is seen" in blind.remarks[0]
