from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.readiness.libvirt_hosts import cluster, codes, domain, host, judged, mended, running, unit

from hotfoot.readiness.change import EditFile, Refresh
from hotfoot.readiness.facts import FolderFact, HostFacts, LibvirtFact, MountFact, QemuFact, StorageFact
from hotfoot.readiness.finding import Severity
from hotfoot.readiness.nova import TOPIC
from hotfoot.readiness.nova_conf import nova_conf
from hotfoot.readiness.nova_old import GONE, RENAMED, Gone, Renamed

CONF = "/etc/nova/nova.conf"
COMPUTE = "/etc/nova/nova-compute.conf"
PLAIN = cluster(migration={"native_tls": False})
NATIVE = cluster()
RIGHT = (
    "[DEFAULT]\n# where instances live\ninstances_path = /var/lib/nova/instances\n\n"
    "[libvirt]\nvirt_type = kvm\nlive_migration_scheme = tls\n"
)


def nova(text: str = RIGHT, name: str = "n1", files: dict[str, str] | None = None, **more: Any) -> HostFacts:
    files = {CONF: text, **(files or {})}
    units = {"nova-compute.service": unit("nova-compute.service", "active", "enabled")}
    return host(name, files=files, units=units, **more)


def with_libvirt(*lines: str) -> HostFacts:
    return nova(RIGHT + "".join(f"{line}\n" for line in lines))


def test_a_right_configuration_has_nothing_wrong() -> None:
    assert judged(TOPIC, PLAIN, nova(), nova(name="n2")) == ()


@pytest.mark.parametrize(
    ("older", "newer", "severity"),
    [
        ("3:28.0.1-0ubuntu1", "3:29.0.1-0ubuntu1", Severity.ADVICE),
        ("1:25.2.0-1.el9", "1:29.2.0-1.el9", Severity.DANGEROUS),
    ],
)
def test_releases_that_differ(older: str, newer: str, severity: Severity) -> None:
    name = "nova-compute" if "ubuntu" in older else "openstack-nova-compute"
    (found,) = judged(TOPIC, PLAIN, nova(packages={name: older}), nova(name="n2", packages={name: newer}))
    assert (found.code, found.severity, found.host) == ("nova.older-release", severity, "n1")
    assert found.evidence == f"n1: {name} {older}; n2: {name} {newer}"
    assert judged(TOPIC, PLAIN, nova(packages={name: newer}), nova(name="n2", packages={name: newer})) == ()


def test_hosts_without_nova_are_left_alone() -> None:
    assert judged(TOPIC, NATIVE, host(), host("n2")) == ()


def test_later_files_win_and_references_are_filled_in() -> None:
    conf = nova_conf(
        nova(
            "[DEFAULT]\nstate_path = /srv/nova\nmy_ip=10.0.0.1\n[libvirt]\ncpu_models = a,\n    b\nvirt_type: qemu\n",
            files={
                COMPUTE: "[libvirt]\nvirt_type = kvm\n",
                "/etc/nova/nova.conf.d/50-vnc.conf": "[vnc]\nserver_listen = ${my_ip}\n; no\n",
            },
        )
    )
    assert conf is not None
    assert conf.instances_path == "/srv/nova/instances"
    assert conf.text("libvirt", "virt_type") == "kvm"
    assert conf.text("libvirt", "cpu_models") == "a, b"
    assert conf.text("vnc", "server_listen") == "10.0.0.1"
    assert conf.text("vnc", "missing") is None


@pytest.mark.parametrize("old", RENAMED, ids=lambda old: f"{old.section}-{old.key}")
def test_every_renamed_option_gets_its_name(old: Renamed) -> None:
    text = f"{RIGHT}[vnc]\nkeymap = de\n"
    text = text.replace("virt_type = kvm\n", "")
    before = nova(text.replace(f"[{old.section}]\n", f"[{old.section}]\n{old.key} = 5\n"))
    found = [each for each in judged(TOPIC, PLAIN, before) if each.code.startswith("nova.old-")]
    assert codes(found) == [f"old-{old.key.replace('_', '-')} n1"]
    (after,) = mended(found, [before])
    conf = nova_conf(after)
    assert conf is not None
    assert conf.get(old.section, old.key) is None
    assert conf.text(old.new_section, old.new_key) == "5"
    assert "# where instances live" in after.text(CONF)
    assert [each for each in judged(TOPIC, PLAIN, after) if each.code.startswith("nova.old-")] == []


def test_a_new_name_that_is_set_already_counts() -> None:
    before = nova(f"{RIGHT}[vnc]\nserver_listen = 0.0.0.0\nvncserver_listen = 127.0.0.1\n")
    (after,) = mended(judged(TOPIC, PLAIN, before), [before])
    assert "server_listen = 0.0.0.0\n" in after.text(CONF)
    assert "127.0.0.1" not in after.text(CONF)


@pytest.mark.parametrize("old", GONE, ids=lambda old: f"{old.section}-{old.key}")
def test_removed_options_go(old: Gone) -> None:
    before = nova(RIGHT.replace(f"[{old.section}]\n", f"[{old.section}]\n{old.key} = VIR_MIGRATE_LIVE\n"))
    found = judged(TOPIC, PLAIN, before)
    assert codes(found) == [f"old-{old.key.replace('_', '-')} n1"]
    (after,) = mended(found, [before])
    assert after.text(CONF) == RIGHT


def test_flags_that_encrypted_are_dangerous_to_lose() -> None:
    flags = "VIR_MIGRATE_UNDEFINE_SOURCE, VIR_MIGRATE_PEER2PEER, VIR_MIGRATE_LIVE, VIR_MIGRATE_TUNNELLED"
    (found,) = judged(TOPIC, PLAIN, with_libvirt(f"live_migration_flag = {flags}"))
    assert found.severity is Severity.DANGEROUS
    assert "in the clear" in found.why


def test_the_guides_uri_becomes_a_scheme() -> None:
    before = nova(RIGHT.replace("live_migration_scheme = tls", "live_migration_uri = qemu+tcp://nova@%s/system"))
    found = judged(TOPIC, PLAIN, before)
    assert codes(found) == ["old-live-migration-uri n1"]
    assert found[0].severity is Severity.DANGEROUS
    (after,) = mended(found, [before])
    assert "live_migration_scheme = tls\n" in after.text(CONF)
    assert judged(TOPIC, PLAIN, after) == ()


def test_a_tunnel_is_replaced_only_by_encryption() -> None:
    (kept,) = judged(TOPIC, PLAIN, with_libvirt("live_migration_tunnelled = True"))
    assert (kept.code, kept.changes) == ("nova.old-live-migration-tunnelled", ())
    before = with_libvirt("live_migration_tunnelled = True")
    found = judged(TOPIC, NATIVE, before)
    (after,) = mended(found, [before])
    assert "live_migration_with_native_tls = True\n" in after.text(CONF)
    assert judged(TOPIC, NATIVE, after) == ()


@pytest.mark.parametrize("text", [RIGHT.replace("= tls", "= tcp"), RIGHT.replace("live_migration_scheme = tls\n", "")])
def test_nova_connects_the_way_hosts_listen(text: str) -> None:
    before = nova(text)
    found = judged(TOPIC, PLAIN, before)
    assert codes(found) == ["scheme n1"]
    assert found[0].severity is Severity.BLOCKS
    assert judged(TOPIC, PLAIN, *mended(found, [before])) == ()


def test_memory_is_encrypted_where_certificates_are_ready() -> None:
    found = judged(TOPIC, NATIVE, nova())
    assert codes(found) == ["stream-plain n1"]
    assert judged(TOPIC, NATIVE, *mended(found, [nova()])) == ()


def test_encrypted_memory_over_a_plain_connection_is_dangerous() -> None:
    before = nova(RIGHT.replace("= tls", "= tcp\nlive_migration_with_native_tls = true"))
    found = judged(TOPIC, NATIVE, before)
    assert codes(found) == ["scheme n1", "control-channel-plain n1"]
    assert judged(TOPIC, NATIVE, *mended(found, [before])) == ()


def test_the_address_for_instances_must_be_the_hosts_own() -> None:
    before = with_libvirt("live_migration_inbound_addr = 10.0.0.2")
    found = judged(TOPIC, PLAIN, before)
    assert codes(found) == ["foreign-migration-address n1"]
    (after,) = mended(found, [before])
    assert "live_migration_inbound_addr = 10.0.0.1\n" in after.text(CONF)
    assert judged(TOPIC, PLAIN, with_libvirt("live_migration_inbound_addr = n1.example.org")) == ()


def test_a_network_for_instances_is_used() -> None:
    own = cluster(
        hosts=[{"name": "n1", "address": "10.0.0.1", "migration_address": "10.9.0.1"}], migration={"native_tls": False}
    )
    found = judged(TOPIC, own, nova())
    assert codes(found) == ["no-migration-address n1"]
    (after,) = mended(found, [nova()])
    assert "live_migration_inbound_addr = 10.9.0.1\n" in after.text(CONF)


def test_one_way_to_converge_is_chosen() -> None:
    before = with_libvirt("live_migration_permit_post_copy = true", "live_migration_permit_auto_converge = true")
    found = judged(TOPIC, PLAIN, before)
    assert codes(found) == ["auto-converge-ignored n1"]
    assert judged(TOPIC, PLAIN, *mended(found, [before])) == ()


def test_several_connections_and_post_copy_need_a_new_qemu() -> None:
    before = with_libvirt("live_migration_permit_post_copy = true", "live_migration_parallel_connections = 4")
    found = judged(TOPIC, PLAIN, before)
    assert codes(found) == ["parallel-post-copy n1"]
    assert judged(TOPIC, PLAIN, *mended(found, [before])) == ()
    assert judged(TOPIC, PLAIN, before.model_copy(update={"qemu": QemuFact(version="10.1.0")})) == ()


def test_bandwidth_is_as_declared() -> None:
    capped = cluster(migration={"native_tls": False}, policy={"bandwidth": "800Mbit/s"})
    before = with_libvirt("live_migration_bandwidth = 0")
    found = judged(TOPIC, capped, before)
    assert codes(found) == ["bandwidth n1"]
    (after,) = mended(found, [before])
    assert "live_migration_bandwidth = 95\n" in after.text(CONF)
    assert judged(TOPIC, capped, after) == ()
    assert judged(TOPIC, PLAIN, before) == ()


THREE = [{"name": f"n{n}", "address": f"10.0.0.{n}"} for n in (1, 2, 3)]
OTHER = RIGHT.replace("/var/lib/nova/instances", "/srv/instances")


def test_the_instances_path_is_the_same_everywhere() -> None:
    many = cluster(hosts=THREE, migration={"native_tls": False})
    hosts = [nova(), nova(OTHER, "n2"), nova(name="n3")]
    found = judged(TOPIC, many, *hosts)
    assert codes(found) == ["instances-path-differs n2"]
    assert judged(TOPIC, many, *mended(found, hosts)) == ()


def test_a_path_with_instances_in_it_is_left_to_a_person() -> None:
    many = cluster(hosts=THREE, migration={"native_tls": False})
    (found,) = judged(TOPIC, many, nova(), nova(OTHER, "n2", libvirt=running(domain())), nova(name="n3"))
    assert found.changes == ()
    assert "Empty the host first" in found.remedy


def test_the_default_path_is_the_packages() -> None:
    default = RIGHT.replace("instances_path = /var/lib/nova/instances\n", "")
    assert judged(TOPIC, PLAIN, nova(default), nova(name="n2")) == ()


def test_instances_belong_on_the_shared_storage() -> None:
    storage = [{"path": "/srv/instances", "type": "nfs", "source": "nas:/srv"}]
    shared = cluster(storage=storage, migration={"native_tls": False})
    hosts = [nova(), nova(name="n2")]
    found = judged(TOPIC, shared, *hosts)
    assert codes(found) == ["instances-not-shared n1", "instances-not-shared n2"]
    assert judged(TOPIC, shared, *mended(found, hosts)) == ()
    in_ceph = [nova(f"{RIGHT}images_type = rbd\n", name) for name in ("n1", "n2")]
    assert judged(TOPIC, shared, *in_ceph) == ()


@pytest.mark.parametrize("fs_type", ["nfs4", "ceph"])
def test_the_workaround_that_destroys_shared_data_goes(fs_type: str) -> None:
    mount = MountFact(target="/var/lib/nova/instances", source="nas:/srv", fs_type=fs_type)
    text = f"{RIGHT}[workarounds]\nensure_libvirt_rbd_instance_dir_cleanup = True\n"
    before = nova(text, storage=StorageFact(folders=(FolderFact(path=mount.target),), mounts=(mount,)))
    found = judged(TOPIC, PLAIN, before)
    assert codes(found) == ["cleanup-destroys-shared n1"]
    assert found[0].severity is Severity.BLOCKS
    assert judged(TOPIC, PLAIN, *mended(found, [before])) == ()
    assert judged(TOPIC, PLAIN, nova(text)) == ()


def test_the_declared_cpu_is_what_nova_gives() -> None:
    declared = cluster(migration={"native_tls": False}, cpu={"model": "EPYC-Rome", "features": ["x2apic", "-svm"]})
    before = with_libvirt("cpu_mode = host-passthrough", "cpu_models = kvm64")
    found = judged(TOPIC, declared, before)
    assert codes(found) == ["cpu-not-declared-one n1"]
    (after,) = mended(found, [before])
    assert "cpu_mode = custom\ncpu_models = EPYC-Rome\ncpu_model_extra_flags = +x2apic, -svm\n" in after.text(CONF)
    assert judged(TOPIC, declared, after) == ()


def test_an_old_cpu_model_of_the_right_value_is_only_an_old_name() -> None:
    declared = cluster(migration={"native_tls": False}, cpu={"model": "EPYC"})
    before = with_libvirt("cpu_mode = custom", "cpu_model = EPYC")
    found = judged(TOPIC, declared, before)
    assert codes(found) == ["old-cpu-model n1"]
    assert judged(TOPIC, declared, *mended(found, [before])) == ()


def test_without_a_declared_cpu_all_hosts_give_the_same() -> None:
    many = cluster(hosts=THREE, migration={"native_tls": False})
    odd = with_libvirt("cpu_mode = custom", "cpu_models = kvm64")
    assert codes(judged(TOPIC, many, odd, nova(name="n2"), nova(name="n3"))) == ["cpu-differs n1"]


def test_nova_compute_is_restarted_only_for_a_change_and_only_where_it_runs() -> None:
    (found,) = judged(TOPIC, PLAIN, with_libvirt("live_migration_flag = x"))
    assert [type(change.step) for change in found.changes] == [EditFile, Refresh]
    stopped = with_libvirt("live_migration_flag = x").model_copy(update={"units": {}})
    (found,) = judged(TOPIC, PLAIN, stopped)
    assert [type(change.step) for change in found.changes] == [EditFile]


def test_an_option_is_changed_in_the_file_that_counts() -> None:
    before = nova(RIGHT, files={COMPUTE: "[libvirt]\nlive_migration_scheme = tcp\n"})
    (after,) = mended(judged(TOPIC, PLAIN, before), [before])
    assert after.text(CONF) == RIGHT
    assert after.text(COMPUTE) == "[libvirt]\nlive_migration_scheme = tls\n"
    assert judged(TOPIC, PLAIN, after) == ()


def test_the_distributions_own_file_is_read_and_never_written() -> None:
    dist = "/usr/share/nova/nova-dist.conf"
    before = nova(
        RIGHT.replace("live_migration_scheme = tls\n", ""), files={dist: "[libvirt]\nlive_migration_scheme=tcp\n"}
    )
    found = judged(TOPIC, PLAIN, before)
    assert all(
        change.step.path != dist for each in found for change in each.changes if isinstance(change.step, EditFile)
    )
    assert judged(TOPIC, PLAIN, *mended(found, [before])) == ()


def test_nothing_is_claimed_of_a_host_that_did_not_tell() -> None:
    unknown = nova(libvirt=LibvirtFact(answers=False), names=None, qemu=None, storage=None)
    assert judged(TOPIC, PLAIN, unknown) == ()


@given(st.text(max_size=80))
def test_any_text_is_read(text: str) -> None:
    conf = nova_conf(nova(text))
    assert conf is not None
    assert conf.instances_path is not None
