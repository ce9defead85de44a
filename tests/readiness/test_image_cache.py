from __future__ import annotations

from tests.readiness.storage_hosts import NFS, PATH, cluster, codes, host, proofs, titles, with_files
from tests.readiness.storage_hosts import found as judged

from hotfoot.readiness import image_cache
from hotfoot.readiness.facts import HostFacts
from hotfoot.readiness.finding import Finding

DECLARED = cluster({"path": PATH, "type": "nfs", "source": "n1:/srv/nova"})


def nova(name: str, conf: str = "[DEFAULT]\n") -> HostFacts:
    return host(name, mounts=[NFS], files={"/etc/nova/nova.conf": conf})


def found(*hosts: HostFacts, locks: bool | None = False) -> list[Finding]:
    return judged(image_cache.TOPIC, DECLARED, *hosts, proved=proofs(hosts, lock_refused=locks))


def test_locks_that_hold_allow_one_cache() -> None:
    assert found(nova("n1"), nova("n2"), locks=True) == []
    assert found(nova("n1"), nova("n2"), locks=None) == []


def test_without_locks_each_host_gets_its_own() -> None:
    hosts = (nova("n1"), nova("n2"))
    findings = found(*hosts)
    assert codes(findings) == ["raced n1", "raced n2"]
    assert "n1: restart nova-compute.service if it runs" in titles(findings, *hosts)
    after = with_files(findings, *hosts)
    assert "subdirectory_name = _base_n1\n" in after[0].text("/etc/nova/nova.conf")
    assert found(*after) == []


def test_hosts_with_caches_of_their_own_and_hosts_without_nova() -> None:
    own = "[image_cache]\nsubdirectory_name = _base_$my_ip\n"
    assert found(nova("n1", own), nova("n2", own)) == []
    assert found(nova("n1"), nova("n2", "[DEFAULT]\nbase_dir_name = _base_n2\n")) == []
    assert found(nova("n1"), host("n2", mounts=[NFS])) == []


def test_instances_elsewhere_share_nothing_there() -> None:
    elsewhere = "[DEFAULT]\nstate_path = /data\ninstances_path = $state_path/vms\n"
    assert image_cache.instances_path(nova("n1", elsewhere)) == "/data/vms"
    assert found(nova("n1", elsewhere), nova("n2", elsewhere)) == []
