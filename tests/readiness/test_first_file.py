"""`hotfoot init` writes what the hosts tell, and says where it guesses."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotfoot.cluster import Cluster, load
from hotfoot.readiness.facts import Facts, FolderFact, HostFacts, Listener, MountFact, NameFact, Silence, StorageFact
from hotfoot.readiness.first_file import first_cloud_file, first_file

NFS = MountFact(target="/var/lib/nova/instances", source="nas:/srv", fs_type="nfs4")
ROOT = MountFact(target="/", source="/dev/sda1", fs_type="ext4")


def host(asked: str, name: str, *mounts: MountFact, tls: bool = True, entries: int = 0) -> HostFacts:
    folder = FolderFact(path="/var/lib/libvirt/images", exists=True, entries=entries)
    return HostFacts(
        host=asked,
        names=NameFact(hostname=name),
        listeners=(Listener(address="::", port=16514),) if tls else (),
        storage=StorageFact(mounts=(ROOT, *mounts), folders=(folder,)),
    )


def written(tmp_path: Path, *hosts: HostFacts, ssh: dict[str, str] | None = None) -> tuple[str, object]:
    addresses = {each.host: f"10.0.0.{number}" for number, each in enumerate(hosts, 1)}
    text = first_file(Facts(hosts=hosts), addresses, ssh)
    path = tmp_path / "hotfoot.yaml"
    path.write_text(text)
    return text, load(path, tmp_path)


def test_it_can_be_loaded_and_names_what_was_seen(tmp_path: Path) -> None:
    text, cluster = written(tmp_path, host("a", "n1.lan", NFS), host("b", "n2.lan", NFS), ssh={"user": "root"})
    assert "{path: /var/lib/nova/instances, type: nfs}" in text
    assert "{name: n1, address: 10.0.0.1}" in text
    assert "transport: tls" in text
    assert cluster is not None


def test_hosts_with_the_same_name_keep_the_names_they_were_asked_for_with(tmp_path: Path) -> None:
    text, _ = written(tmp_path, host("a", "localhost"), host("b", "localhost"))
    assert "name: a," in text
    assert "name: b," in text


@pytest.mark.parametrize(("first", "second", "words"), [(True, False, "only a listens"), (False, False, "no host")])
def test_tls_is_not_claimed_where_a_host_does_not_listen(tmp_path: Path, first: bool, second: bool, words: str) -> None:
    text, _ = written(tmp_path, host("a", "n1", tls=first), host("b", "n2", tls=second))
    assert "transport: ssh" in text
    assert words in text


def test_storage_that_only_some_hosts_mount_says_so(tmp_path: Path) -> None:
    text, _ = written(tmp_path, host("a", "n1", NFS), host("b", "n2"))
    assert "type: nfs}  # mounted on a only" in text


def test_a_local_folder_with_instances_is_named(tmp_path: Path) -> None:
    text, _ = written(tmp_path, host("a", "n1", entries=3), host("b", "n2"))
    assert "{path: /var/lib/libvirt/images, type: local}" in text


def test_without_any_storage_there_is_no_such_section(tmp_path: Path) -> None:
    text, _ = written(tmp_path, host("a", "n1"), host("b", "n2"))
    assert "storage" not in text


def cloud_file(tmp_path: Path, facts: Facts, addresses: dict[str, str]) -> tuple[str, Cluster]:
    text = first_cloud_file(facts, addresses, {"cloud": "rack 1"}, {"user": "root"})
    path = tmp_path / "hotfoot.yaml"
    path.write_text(text)
    return text, load(path, tmp_path)


def test_a_clouds_hosts_keep_novas_names(tmp_path: Path) -> None:
    facts = Facts(hosts=(host("compute-1", "n1.lan", NFS),))
    _, cluster = cloud_file(tmp_path, facts, {"compute-1": "10.0.0.1"})
    assert [(each.name, each.address) for each in cluster.hosts] == [("compute-1", "10.0.0.1")]
    assert cluster.openstack is not None
    assert cluster.openstack.cloud == "rack 1"
    assert cluster.ssh.user == "root"


def test_a_clouds_hosts_that_ssh_does_not_reach_are_comments(tmp_path: Path) -> None:
    facts = Facts(hosts=(host("n1", "n1"),), silent=(Silence(host="n2", reason="n2 is\nsilent"),))
    text, cluster = cloud_file(tmp_path, facts, {"n1": "10.0.0.1", "n2": "10.0.0.2"})
    assert [each.name for each in cluster.hosts] == ["n1"]
    assert "  # - {name: n2, address: 10.0.0.2}  # left out: n2 is silent\n" in text


def test_of_a_clouds_hosts_with_one_address_the_first_is_declared(tmp_path: Path) -> None:
    facts = Facts(hosts=(host("n1", "n1"), host("n2", "n2")))
    text, cluster = cloud_file(tmp_path, facts, {"n1": "10.0.0.1", "n2": "10.0.0.1"})
    assert [each.name for each in cluster.hosts] == ["n1"]
    assert "left out: it has the address of n1" in text


def test_a_cloud_without_any_host_that_ssh_reaches_is_a_cluster_too(tmp_path: Path) -> None:
    facts = Facts(hosts=(), silent=(Silence(host="n1", reason="no route"),))
    _, cluster = cloud_file(tmp_path, facts, {"n1": "10.0.0.1"})
    assert cluster.hosts == ()
