"""Which addresses are a host's."""

from __future__ import annotations

from hotfoot.cluster import Cluster
from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness.addresses import addresses_of
from hotfoot.readiness.facts import Facts, HostFacts, NameFact
from hotfoot.readiness.wanted import wanted


def _cluster(**more: object) -> Cluster:
    hosts = [{"name": "n1", "address": "n1.example.org"}, {"name": "n2", "address": "10.0.0.2"}]
    return cluster_from({"hosts": hosts, **more})


def _host(name: str, *addresses: str, **resolved: tuple[str, ...]) -> HostFacts:
    known = {word.replace("_", "."): answers for word, answers in resolved.items()}
    return HostFacts(host=name, names=NameFact(hostname=name, addresses=addresses, resolved=known))


def test_a_dns_name_is_what_most_hosts_resolve_it_to_loopback_left_out() -> None:
    facts = Facts(
        hosts=(
            _host("n1", "10.0.0.1", n1_example_org=("127.0.1.1",)),
            _host("n2", "10.0.0.2", n1_example_org=("10.0.0.1",)),
        )
    )
    known = addresses_of(_cluster(), facts)
    assert known["n1"].declared == ("10.0.0.1",)
    assert known["n2"].declared == ("10.0.0.2",)


def test_a_name_that_nobody_resolves_has_no_address() -> None:
    known = addresses_of(_cluster(), Facts())["n1"]
    assert (known.management, known.declared, known.links_known) == (None, (), False)


def test_the_migration_network_tells_which_of_the_hosts_addresses_is_meant() -> None:
    cluster = _cluster(migration={"network": "10.1.0.0/24"})
    facts = Facts(hosts=(_host("n1", "10.1.0.1", "10.9.0.1"), _host("n2", "10.1.0.2", "10.1.0.3", "fe80::1")))
    known = addresses_of(cluster, facts)
    assert known["n1"].migration == "10.1.0.1"
    assert known["n2"].migration is None
    assert known["n2"].own == {"10.0.0.2", "10.1.0.2", "10.1.0.3"}


def test_hosts_are_asked_to_resolve_dns_names_given_as_addresses_too() -> None:
    assert wanted(_cluster(), ()).names == ("n1", "n1.example.org", "n2")
