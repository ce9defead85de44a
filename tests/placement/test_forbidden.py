"""Where the rules of a cluster file forbid a single instance to go."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from hotfoot.cluster import Cluster
from hotfoot.cluster.validation import cluster_from
from hotfoot.inventory import Host, Instance, InstanceState, Inventory
from hotfoot.placement.declared import declared_of
from hotfoot.placement.forbidden import forbidden_hosts

GIB = 1 << 30
HOSTS = ("n1", "n2", "n3")
KINDS = ("together", "apart", "only-on", "not-on", "spread", "near")


def seen(places: dict[str, str]) -> Inventory:
    hosts = tuple(
        Host(
            name=name,
            address=name,
            libvirt_version=(10, 0, 0),
            qemu_version=(8, 0, 0),
            cpus=8,
            memory_total_bytes=16 * GIB,
            memory_available_bytes=12 * GIB,
        )
        for name in HOSTS
    )
    instances = tuple(
        Instance(
            uuid=f"uuid-{name}",
            name=name,
            host=host,
            state=InstanceState.RUNNING,
            persistent=True,
            vcpus=1,
            memory_bytes=GIB,
            disks=(),
        )
        for name, host in places.items()
    )
    return Inventory(hosts, instances)


def ruled(*rules: Mapping[str, object]) -> Cluster:
    return cluster_from(
        {
            "hosts": [{"name": n, "address": f"10.0.0.{k}", "zone": f"z{k}"} for k, n in enumerate(HOSTS, 1)],
            "rules": list(rules),
        }
    )


def forbidden(cluster: Cluster, places: dict[str, str], name: str) -> dict[str, str]:
    return dict(forbidden_hosts(declared_of(cluster), seen(places), f"uuid-{name}"))


def test_it_says_who_is_there_and_where_it_belongs() -> None:
    cluster = ruled(
        {"name": "databases", "kind": "apart", "instances": ["db1", "db2", "db3"]},
        {"name": "licence", "kind": "only-on", "instances": ["db1"], "hosts": ["n1", "n2"]},
    )
    assert forbidden(cluster, {"db1": "n1", "db2": "n2", "db3": "n2", "web": "n3"}, "db1") == {
        "n2": "The rule databases (apart) forbids db1 on n2: db2, db3 are there.",
        "n3": "The rule licence (only-on) forbids db1 on n3: it belongs on n1, n2.",
    }


def test_what_is_broken_already_holds_nobody_in_its_place() -> None:
    cluster = ruled({"name": "pair", "kind": "together", "instances": ["a", "b"]})
    assert forbidden(cluster, {"a": "n1", "b": "n2"}, "a") == {}
    assert set(forbidden(cluster, {"a": "n1", "b": "n1"}, "a")) == {"n2", "n3"}


def test_a_soft_rule_and_one_of_other_instances_forbid_nothing() -> None:
    soft = {"name": "s", "kind": "not-on", "instances": ["a"], "hosts": ["n2"], "hard": False}
    other = {"name": "o", "kind": "not-on", "instances": ["b"], "hosts": ["n2"]}
    assert forbidden(ruled(soft, other), {"a": "n1", "b": "n1"}, "a") == {}


@given(
    places=st.fixed_dictionaries({name: st.sampled_from(HOSTS) for name in "abcd"}),
    kind=st.sampled_from(KINDS),
    members=st.lists(st.sampled_from("abcd"), min_size=1, unique=True),
    named=st.lists(st.sampled_from(HOSTS), min_size=1, unique=True),
    near=st.lists(st.sampled_from("abcd"), min_size=1, unique=True),
)
def test_where_it_is_and_the_way_back_are_never_forbidden(
    places: dict[str, str], kind: str, members: list[str], named: list[str], near: list[str]
) -> None:
    rule: dict[str, object] = {"name": "r", "kind": kind, "instances": members}
    rule |= {"hosts": named} if kind in ("only-on", "not-on") else {}
    rule |= {"near": near} if kind == "near" else {}
    rule |= {"zones": 2} if kind == "spread" else {}
    cluster = ruled(rule)
    for name, host in itertools.product("abcd", HOSTS):
        if host == places[name]:
            assert host not in forbidden(cluster, places, name)
        elif host in forbidden(cluster, places, name):
            assert places[name] not in forbidden(cluster, places | {name: host}, name)
