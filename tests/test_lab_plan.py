"""What a lab is planned to be: pure parts of the lab, which need no lab."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.cluster import load
from hotfoot.errors import HotfootError
from hotfoot.lab import ceph, iscsi_hosts, trust
from hotfoot.lab.bare import bare_host_files, bare_ids
from hotfoot.lab.cluster_text import cluster_text
from hotfoot.lab.host_files import host_files, meminfo
from hotfoot.lab.instances import Load, Places, domain_xml
from hotfoot.lab.spec import Lab, Storage, Transport, check_name, parse_rate, plan_hosts, plan_instance
from hotfoot.lab.status import InstanceState
from hotfoot.lab.witness import WitnessStatus
from hotfoot.readiness.cephfs_mount import line_for

TRUST = trust.issue([("n1", "10.77.0.11"), ("n2", "10.77.0.12")])


def a_lab(number: int = 0, transport: Transport = "tls", hosts: int = 2) -> Lab:
    return Lab(
        name="lab",
        number=number,
        transport=transport,
        storage="none",
        accelerator="tcg",
        accelerator_reason="",
        link_rate="1gbit",
        supervisor_pid=1,
        supervisor_started=1,
        hosts=plan_hosts("lab", number, hosts),
    )


@given(st.integers(0, 255), st.integers(1, 50), st.integers(0, 60))
def test_addresses_macs_and_ids_never_collide(number: int, hosts: int, instances: int) -> None:
    lab = a_lab(number, hosts=hosts)
    for _ in range(instances):
        lab = lab.model_copy(update={"instances": (*lab.instances, plan_instance(lab, None, 128))})
    addresses = [host.address for host in lab.hosts] + [each.address for each in lab.instances]
    assert len(set(addresses)) == len(addresses)
    assert all(ipaddress.ip_address(address).is_private for address in addresses)
    assert len({each.mac for each in lab.instances}) == instances
    uuids = {host.uuid for host in lab.hosts} | {each.uuid for each in lab.instances}
    assert len(uuids) == hosts + instances


def test_two_labs_have_nothing_in_common() -> None:
    one, two = a_lab(0), a_lab(1)
    assert not {host.address for host in one.hosts} & {host.address for host in two.hosts}
    assert plan_instance(one, None, 128).mac != plan_instance(two, None, 128).mac


@pytest.mark.parametrize("transport", ["tls", "ssh", "tcp"])
def test_the_lab_s_cluster_file_is_valid(tmp_path: Path, transport: Transport) -> None:
    for folder, names in {"pki": ("cacert.pem", "clientcert.pem", "clientkey.pem"), "ssh": ("id_ed25519",)}.items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch(0o600)
    (tmp_path / "ssh/known_hosts").touch()
    (tmp_path / "hotfoot.yaml").write_text(cluster_text(a_lab(transport=transport)))
    cluster = load(tmp_path / "hotfoot.yaml", tmp_path)
    assert [host.name for host in cluster.hosts] == ["n1", "n2"]
    assert cluster.libvirt.transport == transport


def test_a_lab_with_a_san_tells_where_it_is_and_an_instance_logs_in_there_with_the_secret(tmp_path: Path) -> None:
    lab = a_lab().model_copy(update={"storage": "iscsi"})
    for name in ("pki", "ssh"):
        (tmp_path / name).mkdir()
    for name in ("ssh/id_ed25519", "ssh/known_hosts", "chap"):
        (tmp_path / name).touch(0o600)
    (tmp_path / "hotfoot.yaml").write_text(cluster_text(lab))
    (san,) = load(tmp_path / "hotfoot.yaml", tmp_path, certificates=False).iscsi
    assert san.chap is not None
    xml = domain_xml(lab, plan_instance(lab, None, 128), Load())
    assert f"name='{san.target}/1'" in xml
    assert f"uuid='{san.chap.secret}'" in xml
    assert f"<host name='{san.portal.removesuffix(':3260')}' port='3260'/>" in xml


def test_hosts_with_a_kernel_of_their_own_log_in_to_the_san_and_instances_have_their_devices(tmp_path: Path) -> None:
    lab = a_lab().model_copy(update={"storage": "iscsi", "vm_accelerator": "tcg"})
    for name in ("pki", "ssh"):
        (tmp_path / name).mkdir()
    for name in ("ssh/id_ed25519", "ssh/known_hosts"):
        (tmp_path / name).touch(0o600)
    (tmp_path / "hotfoot.yaml").write_text(cluster_text(lab))
    (san,) = load(tmp_path / "hotfoot.yaml", tmp_path, certificates=False).iscsi
    assert (san.initiator, san.chap) == ("host", None)
    xml = domain_xml(lab, plan_instance(lab, None, 128), Load())
    assert f"<source dev='/dev/disk/by-path/ip-{san.portal}-iscsi-{san.target}-lun-1'/>" in xml
    assert len({iscsi_hosts.initiator_name(host) for host in lab.hosts}) == len(lab.hosts)


def test_a_lab_with_cephfs_tells_what_to_mount_as_whom_and_where_the_key_is(tmp_path: Path) -> None:
    lab = a_lab().model_copy(update={"storage": "cephfs"})
    for name in ("pki", "ssh", "ceph"):
        (tmp_path / name).mkdir()
    for name in ("ssh/id_ed25519", "ssh/known_hosts", ceph.MOUNTER_KEYRING):
        (tmp_path / name).touch(0o600)
    (tmp_path / "hotfoot.yaml").write_text(cluster_text(lab))
    (storage,) = load(tmp_path / "hotfoot.yaml", tmp_path, certificates=False).storage
    assert (storage.type, storage.keyring) == ("cephfs", tmp_path / ceph.MOUNTER_KEYRING)
    assert storage.monitors == (ceph.address(lab),)
    # What a ready lab's hosts have in fstab is what would be planned for them.
    planned = line_for(storage.path, storage.source or "", None, by_fuse=True)
    assert planned == f"{ceph.file_system_entry(lab)} 0 0"
    of_machines = lab.model_copy(update={"vm_accelerator": "tcg"})
    planned = line_for(storage.path, storage.source or "", None, by_fuse=False)
    assert planned == f"{ceph.file_system_entry(of_machines)} 0 0"


def test_a_host_has_its_own_identity_and_keeps_its_keys_to_itself() -> None:
    lab = a_lab()
    one, two = (host_files(host, lab.hosts, 0, "tls", TRUST, 2048) for host in lab.hosts)
    assert one["etc/machine-id"] != two["etc/machine-id"]
    assert one["etc/ssh/ssh_host_ed25519_key"] != two["etc/ssh/ssh_host_ed25519_key"]
    private = [path for path, file in one.items() if "PRIVATE KEY" in file.content]
    assert private
    assert all(one[path].mode & 0o077 in (0, 0o040) for path in private)
    assert "etc/systemd/system/sockets.target.wants/libvirtd-tls.socket" in one
    assert "auth_tcp" not in one["etc/libvirt/libvirtd.conf"].content


def test_a_certificate_names_the_host_and_its_address() -> None:
    certificate = x509.load_pem_x509_certificate(TRUST.hosts["n2"].public.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n2"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.77.0.12")]


def test_a_host_reports_the_memory_that_it_was_given() -> None:
    assert "MemTotal:        2097152 kB" in meminfo(2048)


def test_an_instance_under_tcg_asks_for_no_cpu_of_the_machine() -> None:
    lab = a_lab()
    xml = domain_xml(lab, plan_instance(lab, "vm1", 128), Load(5, 32, "hot"))
    assert "type='qemu'" in xml
    assert "qemu64" in xml
    assert "hotfoot.rate=5 hotfoot.area=32 hotfoot.pattern=hot" in xml
    assert "host-model" in domain_xml(
        lab.model_copy(update={"accelerator": "kvm"}), plan_instance(lab, None, 128), Load()
    )


@pytest.mark.parametrize("text", ["", "fast", "10", "-5mbit", "1kbit", "101gbit", "1gbyte"])
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(HotfootError, match="is no link rate"):
        parse_rate(text)


@pytest.mark.parametrize("name", ["", "Lab", "1lab", "a/b", "..", "x" * 21])
def test_a_name_that_could_reach_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(HotfootError, match="cannot name a lab"):
        check_name(name)


@pytest.mark.parametrize("load", [Load(-1, 16), Load(0, -1), Load(20, 100)])
def test_a_load_that_does_not_fit_is_refused(load: Load) -> None:
    with pytest.raises(HotfootError):
        load.check(128)


def test_a_pattern_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(HotfootError, match="'zigzag' is no pattern: use circle, random or hot"):
        Load(5, 32, "zigzag").check(128)


def witness_of(rate_mib: int) -> WitnessStatus:
    told = {"boot_id": "b", "uptime_s": 1, "page_writes": 0, "blocks_per_second": 5, "blocks_written": 0, "counter": 0}
    told |= {"disk_errors": 0, "disk_errno": 0, "disk": True, "area_mib": 64, "pattern": "random"}
    return WitnessStatus.model_validate({**told, "rate_mib": rate_mib})


def test_what_an_instance_does_to_its_memory_is_told_in_words() -> None:
    assert witness_of(20).load == "rewrites 64 MiB at 20 MiB/s (random)"
    assert witness_of(0).load == "rests"


def test_the_state_of_an_instance_tells_its_load_or_that_it_does_not_answer() -> None:
    instance = plan_instance(a_lab(), "vm1", 128)
    busy, silent = InstanceState(instance, "n1", witness_of(20)), InstanceState(instance, "nowhere", None)
    assert busy.load == "rewrites 64 MiB at 20 MiB/s (random), 0 disk blocks written"
    assert busy.load_as_json() == {"rate_mib": 20, "area_mib": 64, "pattern": "random"}
    assert silent.load == "does not answer"
    assert silent.load_as_json() == {"rate_mib": None, "area_mib": None, "pattern": None}


@pytest.mark.parametrize(
    ("seen", "silent", "words"),
    [
        (("n1",), ("n2",), "n1"),
        (("n1", "n2"), (), "n1 and n2"),
        ((), (), "nowhere"),
        ((), ("n2",), "nobody knows where (n2 silent)"),
    ],
)
def test_a_silent_host_may_have_what_no_other_has(seen: tuple[str, ...], silent: tuple[str, ...], words: str) -> None:
    instance = plan_instance(a_lab(), "vm1", 128)
    assert Places({str(instance.uuid): seen} if seen else {}, silent).in_words(instance) == words


@given(st.integers(1, 50), st.integers(1, 50))
def test_no_two_bare_hosts_agree_on_ids_and_the_first_two_have_them_swapped(one: int, other: int) -> None:
    first, second = bare_ids(one), bare_ids(other)
    assert first.nova != first.qemu
    assert one == other or (first.nova != second.nova and first.qemu != second.qemu)
    assert (bare_ids(1).nova, bare_ids(1).qemu) == (bare_ids(2).qemu, bare_ids(2).nova)


def test_a_bare_host_lets_root_in_and_has_nothing_of_the_others() -> None:
    lab = a_lab()
    files = bare_host_files(lab.hosts[0], TRUST, "glusterfs", 2048)
    assert TRUST.login.public in files["root/.ssh/authorized_keys"].content
    assert "127.0.1.1\tn1" in files["etc/hosts"].content
    other = lab.hosts[1]
    assert not any(other.address in file.content or TRUST.authority in file.content for file in files.values())
    assert not any("/pki/" in path or "libvirtd-tls" in path or path.endswith("id_ed25519") for path in files)


@pytest.mark.parametrize(
    ("hosts", "servers"), [(1, ("n1",)), (2, ("n1",)), (3, ("n1", "n2", "n3")), (5, ("n1", "n2", "n3"))]
)
def test_a_bare_lab_declares_what_its_hosts_are_to_become(tmp_path: Path, hosts: int, servers: tuple[str, ...]) -> None:
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh/id_ed25519").touch(0o600)
    (tmp_path / "ssh/known_hosts").touch()
    lab = a_lab(hosts=hosts).model_copy(update={"bare": True, "storage": "glusterfs"})
    (tmp_path / "hotfoot.yaml").write_text(cluster_text(lab))
    with pytest.raises(HotfootError, match="hotfoot prepare"):
        load(tmp_path / "hotfoot.yaml", tmp_path)
    cluster = load(tmp_path / "hotfoot.yaml", tmp_path, certificates=False)
    assert cluster.storage[0].servers == servers
    assert cluster.storage[0].shared
    assert cluster.migration.user == "nova"


@pytest.mark.parametrize("transport", ["tls", "ssh", "tcp"])
@pytest.mark.parametrize("storage", ["glusterfs", "nfs", "none"])
def test_every_kind_of_bare_lab_declares_what_is_valid(tmp_path: Path, transport: Transport, storage: Storage) -> None:
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh/id_ed25519").touch(0o600)
    (tmp_path / "ssh/known_hosts").touch()
    lab = a_lab(transport=transport, hosts=3).model_copy(update={"bare": True, "storage": storage})
    (tmp_path / "hotfoot.yaml").write_text(cluster_text(lab))
    assert load(tmp_path / "hotfoot.yaml", tmp_path, certificates=False).libvirt.transport == transport
