from typing import Any

import pytest
from tests.readiness.libvirt_hosts import cluster, codes, domain, host, judged, mended, recorded, running, unit

from hotfoot.readiness.consoles import TOPIC
from hotfoot.readiness.facts import HostFacts
from hotfoot.readiness.finding import Severity

PLAIN = cluster()
CONF = "/etc/nova/nova.conf"
NOVA_METADATA = "<metadata><nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'/></metadata>"


def listening(address: str, more: str = "") -> str:
    inside = (
        f"<graphics type='vnc' port='5900' listen='{address}'><listen type='address' address='{address}'/></graphics>"
    )
    return domain(inside=inside, more=more)


def nova(*lines: str) -> HostFacts:
    return host(
        files={CONF: "[vnc]\n" + "".join(f"{line}\n" for line in lines)},
        units={"nova-compute.service": unit("nova-compute.service", "active", "enabled")},
    )


def qemu_conf(line: str, **more: Any) -> HostFacts:
    return host(files={"/etc/libvirt/qemu.conf": recorded("debian13-qemu.conf") + line + "\n"}, **more)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "127.0.0.1", "10.0.0.99"])
def test_only_the_sources_own_address_pins_an_instance(address: str) -> None:
    assert judged(TOPIC, PLAIN, host(libvirt=running(listening(address)))) == ()


def test_an_instance_that_insists_on_its_hosts_address_cannot_leave() -> None:
    (found,) = judged(TOPIC, PLAIN, host(libvirt=running(listening("10.0.0.1"))))
    assert (found.code, found.severity) == ("consoles.pinned", Severity.BLOCKS)
    assert "web" in found.what


def test_novas_instances_are_given_the_destinations_address_by_nova() -> None:
    assert judged(TOPIC, PLAIN, host(libvirt=running(listening("10.0.0.1", more=NOVA_METADATA)))) == ()


def test_an_address_from_qemu_conf_does_not_travel() -> None:
    assert judged(TOPIC, PLAIN, qemu_conf('vnc_listen = "10.0.0.1"', libvirt=running(listening("10.0.0.1")))) == ()


def test_consoles_open_to_all_are_remarked() -> None:
    (found,) = judged(TOPIC, PLAIN, qemu_conf('vnc_listen = "0.0.0.0"'))
    assert (found.code, found.severity) == ("consoles.open-to-all", Severity.ADVICE)


def test_an_address_of_another_host_in_qemu_conf_goes() -> None:
    before = qemu_conf('spice_listen = "10.0.0.2"')
    found = judged(TOPIC, PLAIN, before)
    assert codes(found) == ["foreign-address n1"]
    assert judged(TOPIC, PLAIN, *mended(found, [before])) == ()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ["loopback n1", "called-elsewhere n1"]),
        (["server_listen = 127.0.0.1", "server_proxyclient_address = 10.0.0.1"], ["loopback n1"]),
        (["server_listen = 0.0.0.0"], ["called-elsewhere n1"]),
        (["server_listen = 10.0.0.2", "server_proxyclient_address = 10.0.0.1"], ["foreign-address n1"]),
        (["vncserver_listen = 10.0.0.1", "server_proxyclient_address = 10.0.0.2"], ["called-elsewhere n1"]),
    ],
)
def test_novas_addresses_are_set_to_the_hosts_own(lines: list[str], expected: list[str]) -> None:
    before = nova(*lines)
    found = judged(TOPIC, PLAIN, before)
    assert codes(found) == expected
    assert judged(TOPIC, PLAIN, *mended(found, [before])) == ()


@pytest.mark.parametrize(
    "lines",
    [
        ["server_listen = 0.0.0.0", "server_proxyclient_address = 10.0.0.1"],
        ["server_listen = 10.0.0.1", "server_proxyclient_address = 10.0.0.1"],
        ["server_listen = $my_ip", "server_proxyclient_address = $my_ip"],
        ["enabled = false"],
    ],
)
def test_right_addresses_are_left(lines: list[str]) -> None:
    assert judged(TOPIC, PLAIN, nova(*lines)) == ()


def test_spice_counts_only_where_it_is_on() -> None:
    off = nova("enabled = false", "[spice]", "server_listen = 10.0.0.2")
    on = nova("enabled = false", "[spice]", "enabled = true", "server_listen = 10.0.0.2")
    assert judged(TOPIC, PLAIN, off) == ()
    assert codes(judged(TOPIC, PLAIN, on)) == ["foreign-address n1", "called-elsewhere n1"]
