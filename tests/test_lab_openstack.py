"""What the lab's OpenStack is configured to be: pure parts, which need no lab."""

from __future__ import annotations

import configparser
import json
from importlib.resources import files
from pathlib import Path

import pytest

from hotfoot.cluster import load
from hotfoot.errors import HotfootError
from hotfoot.lab import ceph, lifecycle, openstack_config, openstack_parts
from hotfoot.lab.cluster_text import cluster_text
from hotfoot.lab.instances import Load
from hotfoot.lab.openstack_parts import SERVICES, Passwords, apis, services
from hotfoot.lab.spec import Lab, Transport, plan_hosts

PASSWORDS = Passwords("admin-secret", "services-secret", "queue-secret")
KEYS = ("key-a", "key-b", "key-c", "key-d")


def a_lab(transport: Transport = "tls", accelerator: str = "tcg", *, volumes: bool = False) -> Lab:
    return Lab(
        name="lab",
        number=7,
        transport=transport,
        storage="none",
        accelerator=accelerator,  # type: ignore[arg-type]
        accelerator_reason="",
        link_rate="1gbit",
        supervisor_pid=1,
        supervisor_started=1,
        hosts=plan_hosts("lab", 7, 2),
        openstack=True,
        volumes=volumes,
    )


def ini(text: str) -> configparser.ConfigParser:
    # oslo.config joins sections of the same name; a second one here would be a mistake all the same.
    found = configparser.ConfigParser(interpolation=None, default_section="none", allow_no_value=True)
    found.read_string(text)
    return found


def test_whatever_holds_a_password_is_for_root_alone() -> None:
    lab = a_lab(volumes=True)
    found = openstack_config.controller_files(lab, PASSWORDS, KEYS)
    for host in lab.hosts:
        found |= openstack_config.compute_files(lab, host, PASSWORDS, 0)
    secrets = (PASSWORDS.admin, PASSWORDS.services, PASSWORDS.queue, *KEYS)
    holding = [file for file in found.values() if any(secret in file.content for secret in secrets)]
    assert holding
    assert all(file.mode == 0o600 for file in holding)


@pytest.mark.parametrize("volumes", [False, True])
def test_every_configuration_is_read_as_it_was_meant(volumes: bool) -> None:
    lab = a_lab(volumes=volumes)
    found = openstack_config.controller_files(lab, PASSWORDS, KEYS)
    for path, file in found.items():
        if path.endswith(".conf") and "rabbitmq" not in path:
            assert ini(file.content).sections(), path
    nova = ini(found["etc/nova/nova.conf"].content)
    assert nova["DEFAULT"]["transport_url"] == "rabbit://openstack:queue-secret@10.77.7.250:5672/"
    assert nova["placement"]["password"] == nova["keystone_authtoken"]["password"] == PASSWORDS.services
    assert nova["api_database"]["connection"].endswith("/nova_api?unix_socket=/run/mysql.sock&charset=utf8")
    assert nova["keystone_authtoken"]["auth_url"] == openstack_parts.url(lab, "keystone")
    cinder = ini(found["etc/cinder/cinder.conf"].content)
    assert cinder["keystone_authtoken"]["password"] == PASSWORDS.services
    assert cinder.has_section("ceph") == volumes


def test_qemu_opens_volumes_with_the_key_that_the_hosts_libvirt_holds(tmp_path: Path) -> None:
    lab = a_lab("ssh", volumes=True)
    backend = ini(openstack_config.controller_files(lab, PASSWORDS, KEYS)["etc/cinder/cinder.conf"].content)["ceph"]
    for folder in ("ssh", "ceph"):
        (tmp_path / folder).mkdir()
    for name in ("ssh/id_ed25519", "ssh/known_hosts", ceph.keyring(lab), "clouds.yaml"):
        (tmp_path / name).touch(0o600)
    (tmp_path / "hotfoot.yaml").write_text(cluster_text(lab))
    declared = load(tmp_path / "hotfoot.yaml", tmp_path, certificates=False).ceph
    assert declared is not None
    assert (backend["rbd_user"], backend["rbd_pool"]) == (declared.user, declared.pools[0]) == ("cinder", "volumes")
    assert (backend["rbd_secret_uuid"], declared.monitors) == (declared.secret, (ceph.address(lab),))


def test_only_a_lab_with_volumes_has_cinder() -> None:
    without, having = a_lab(), a_lab(volumes=True)
    started = openstack_config.controller_files(without, PASSWORDS, KEYS)["etc/openstack/volume-services"].content
    assert started.split() == []
    started = openstack_config.controller_files(having, PASSWORDS, KEYS)["etc/openstack/volume-services"].content
    assert started.split() == sorted(set(services(having)) - set(services(without)))
    assert set(started.split()) == {"cinder-api", "cinder-scheduler", "cinder-volume"}


@pytest.mark.parametrize("transport", ["tls", "ssh", "tcp"])
def test_a_compute_host_migrates_over_the_transport_that_joins_the_lab(transport: Transport) -> None:
    lab = a_lab(transport)
    one, two = (
        ini(openstack_config.compute_files(lab, host, PASSWORDS, 2048)["etc/nova/nova.conf"].content)
        for host in lab.hosts
    )
    assert one["libvirt"]["live_migration_scheme"] == transport
    assert one["libvirt"]["live_migration_inbound_addr"] == lab.hosts[0].address
    assert one["DEFAULT"]["host"] == "n1"
    assert two["DEFAULT"]["host"] == "n2"


def test_a_compute_host_has_no_way_to_the_databases() -> None:
    lab = a_lab()
    text = openstack_config.compute_files(lab, lab.hosts[0], PASSWORDS, 0)["etc/nova/nova.conf"].content
    assert "mysql" not in text


def test_instances_under_kvm_have_the_host_s_cpu_and_under_tcg_one_that_every_host_has() -> None:
    host = a_lab().hosts[0]
    under = {
        kind: ini(
            openstack_config.compute_files(a_lab(accelerator=kind), host, PASSWORDS, 0)["etc/nova/nova.conf"].content
        )["libvirt"]
        for kind in ("kvm", "tcg")
    }
    assert (under["kvm"]["virt_type"], under["kvm"]["cpu_mode"]) == ("kvm", "host-model")
    assert (under["tcg"]["virt_type"], under["tcg"]["cpu_models"]) == ("qemu", "qemu64")


@pytest.mark.parametrize("volumes", [False, True])
def test_the_catalogue_names_every_api_at_the_control_plane_s_address(volumes: bool) -> None:
    lab = a_lab(volumes=volumes)
    seed = json.loads(openstack_config.controller_files(lab, PASSWORDS, KEYS)["etc/openstack/seed.json"].content)
    urls = {kind: url for _, kind, url in seed["endpoints"]}
    more = {"volumev3"} if volumes else set()
    assert set(urls) == {"identity", "placement", "image", "network", "compute"} | more
    assert all(url.startswith("http://10.77.7.250:") for url in urls.values())
    assert len(set(urls.values())) == len(apis(lab))


def test_the_cluster_file_names_the_cloud_and_the_hosts() -> None:
    text = cluster_text(a_lab())
    assert "openstack: {cloud: lab, clouds_file: clouds.yaml}" in text
    assert "{name: n2, address: 10.77.7.12}" in text
    assert "openstack" not in cluster_text(a_lab().model_copy(update={"openstack": False}))


def test_every_service_that_a_fault_may_stop_is_known_to_the_script_that_stops_it() -> None:
    script = (files("hotfoot.lab") / "openstack" / "service.sh").read_text()
    for service in SERVICES:
        assert f"{service})" in script or f"{service} |" in script, service


def test_all_python_packages_are_pinned() -> None:
    text = (files("hotfoot.lab") / "openstack" / "requirements.txt").read_text()
    pinned = dict(line.split("==") for line in text.splitlines())
    assert {"nova", "keystone", "openstack-placement", "glance", "neutron", "cinder", "pymysql", "gunicorn"} <= set(
        pinned
    )
    assert pinned["nova"] == "34.0.0"
    assert pinned["sqlalchemy"].startswith("2.0.")


@pytest.mark.parametrize(
    "options",
    [
        {"openstack": True, "bare": True, "instance_count": 0},
        {"openstack": True, "vm": True},
        {"openstack": True, "cpu_differs": True},
        {"openstack": True, "storage_kind": "ceph"},
        {"fake_hosts": 3},
        {"volumes": True},
        {"openstack": True, "fake_hosts": 201},
    ],
)
def test_what_does_not_go_together_is_refused_in_one_sentence(options: dict[str, object]) -> None:
    given: dict[str, object] = {
        "host_count": 2,
        "instance_count": 1,
        "transport": "tls",
        "storage_kind": "none",
        "link_rate": "1gbit",
        "memory_mib": 128,
        "load": Load(),
        "say": lambda _: None,
    } | options
    with pytest.raises(HotfootError, match=r"--openstack|--fake-hosts|fake hosts"):
        lifecycle.up("refused", **given)  # type: ignore[arg-type]
