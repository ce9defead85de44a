from __future__ import annotations

from typing import Any

from hotfoot.cluster import Cluster
from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness.facts import Facts, HostFacts, Listener, PairProof, Proofs
from hotfoot.readiness.finding import Severity
from hotfoot.readiness.ports import TOPIC

HOSTS = ("n1", "n2", "n3")
PAIRS = [(one, other) for one in HOSTS for other in HOSTS if one != other]
OPEN = {22: "open", 16514: "open", 49152: "open", 49215: "open"}


def cluster(**more: Any) -> Cluster:
    hosts = [{"name": name, "address": f"10.0.0.{number}"} for number, name in enumerate(HOSTS, 1)]
    return cluster_from({"hosts": hosts} | more)


def facts(changed: dict[tuple[str, str], dict[int, str]], listening: dict[str, list[int]] | None = None) -> Facts:
    pairs = tuple(PairProof(source=s, destination=d, ports=OPEN | changed.get((s, d), {})) for s, d in PAIRS)
    hosts = tuple(
        HostFacts(host=name, listeners=tuple(Listener(address="0.0.0.0", port=port) for port in ports))
        for name, ports in (listening or {}).items()
    )
    return Facts(hosts=hosts, proofs=Proofs(pairs=pairs))


def found(of: Cluster, seen: Facts) -> list[tuple[str, str, str | None]]:
    return [(each.code, each.host, each.peer) for each in TOPIC.judge(of, seen)]


def test_all_open_is_well() -> None:
    assert found(cluster(), facts({})) == []
    assert found(cluster(), Facts()) == []


def test_a_port_where_nobody_listens_is_the_destination_s() -> None:
    seen = facts({(host, "n2"): {16514: "refused"} for host in ("n1", "n3")}, {"n2": [22]})
    [finding] = TOPIC.judge(cluster(), seen)
    assert (finding.code, finding.host, finding.peer) == ("ports.libvirt-refused", "n2", None)
    assert finding.severity is Severity.BLOCKS
    assert finding.what == "Nothing listens on port 16514 of n2, the port of libvirt, where n1 and n3 tried it."
    assert "libvirtd-tls.socket" in finding.remedy


def test_a_port_that_listens_and_is_refused_is_behind_a_firewall() -> None:
    seen = facts({(host, "n2"): {16514: "refused"} for host in ("n1", "n3")}, {"n2": [22, 16514]})
    [finding] = TOPIC.judge(cluster(), seen)
    assert finding.what == "A firewall refuses n1 and n3 at port 16514 of n2, meant for libvirt."


def test_migration_ports_of_one_pair() -> None:
    seen = facts({("n1", "n3"): {49152: "filtered", 49215: "filtered"}})
    [finding] = TOPIC.judge(cluster(), seen)
    assert (finding.code, finding.host, finding.peer) == ("ports.migration-filtered", "n1", "n3")
    assert finding.evidence == "49152 filtered, 49215 filtered"
    assert "ports 49152 to 49215" in finding.remedy


def test_half_of_the_migration_range() -> None:
    seen = facts({("n1", "n3"): {49215: "refused"}})
    [finding] = TOPIC.judge(cluster(), seen)
    assert finding.code == "ports.migration-refused"
    assert finding.what == "A firewall refuses n1 at port 49215 of n3, meant for migrations."


def test_ssh_matters_only_where_somebody_logs_in() -> None:
    seen = facts({(host, "n2"): {22: "filtered"} for host in ("n1", "n3")})
    assert found(cluster(), seen) == []
    by_nova = cluster(migration={"user": "nova"})
    assert found(by_nova, seen) == [("ports.ssh-filtered", "n2", None)]


def test_the_declared_ports_are_meant() -> None:
    seen = facts({("n1", "n2"): {2222: "refused", 16600: "refused", 22: "refused"}})
    of = cluster(migration={"user": "nova"}, ssh={"port": 2222}, libvirt={"port": 16600})
    assert found(of, seen) == [
        ("ports.ssh-refused", "n1", "n2"),
        ("ports.libvirt-refused", "n1", "n2"),
        ("ports.migration-refused", "n1", "n2"),
    ]


def test_a_pair_without_any_answer_is_told_once() -> None:
    seen = facts({("n1", "n2"): dict.fromkeys(OPEN, "filtered")})
    assert found(cluster(migration={"user": "nova"}), seen) == [("ports.unreachable", "n1", "n2")]


def test_a_host_that_nobody_reaches_is_told_once() -> None:
    seen = facts({(host, "n2"): dict.fromkeys(OPEN, "filtered") for host in ("n1", "n3")})
    assert found(cluster(), seen) == [("ports.unreachable", "n2", None)]
