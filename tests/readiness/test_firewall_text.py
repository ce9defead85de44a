"""What firewalld and ufw say of themselves; ufw's status is real, firewalld's zones are written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotfoot.readiness.firewall_text import Firewalld, Ufw
from hotfoot.readiness.nft import ACCEPT, DROP, EITHER


def test_a_real_status_of_ufw_is_understood() -> None:
    rules = Ufw((Path(__file__).parent / "firewalls" / "ufw-0.36.2.txt").read_text())
    answers = {
        source: [rules.verdicts(source, port) for port in (22, 80, 16514)]
        for source in ("10.77.8.254", "10.77.8.2", "10.77.8.11", "2001:db8::1")
    }
    assert answers == {
        "10.77.8.254": [ACCEPT, ACCEPT, ACCEPT],
        "10.77.8.2": [ACCEPT, ACCEPT, DROP],
        "10.77.8.11": [ACCEPT, DROP, DROP],
        "2001:db8::1": [ACCEPT, DROP, DROP],
    }


UFW = """\
Status: active
Logging: on (low)
Default: deny (incoming), allow (outgoing), disabled (routed)
New profiles: skip

To                         Action      From
--                         ------      ----
22/tcp (OpenSSH)           ALLOW IN    Anywhere
16514/tcp                  ALLOW IN    10.0.0.0/24                # libvirt
22,80,49152:49215/tcp      ALLOW IN    10.0.0.2
24007/udp                  ALLOW IN    10.0.0.2
2049 on eth1               ALLOW IN    10.0.0.2
Anywhere                   DENY IN     10.0.0.3
Anywhere                   ALLOW IN    10.0.0.3
10.0.0.1 5900/tcp          ALLOW IN    Anywhere
22/tcp (OpenSSH (v6))      ALLOW IN    Anywhere (v6)
"""


@pytest.mark.parametrize(
    ("source", "port", "verdict"),
    [
        ("10.0.0.9", 22, ACCEPT),
        ("10.0.0.9", 16514, ACCEPT),
        ("10.0.1.9", 16514, DROP),
        ("10.0.0.2", 49200, ACCEPT),
        ("10.0.0.2", 49216, DROP),
        ("10.0.0.2", 24007, DROP),
        ("10.0.0.2", 2049, EITHER),
        ("10.0.0.3", 49152, DROP),
        ("10.0.0.9", 5900, ACCEPT),
        ("2001:db8::1", 16514, DROP),
        ("2001:db8::1", 22, ACCEPT),
    ],
)
def test_ufws_status_is_understood(source: str, port: int, verdict: frozenset[str]) -> None:
    assert Ufw(UFW).verdicts(source, port, "10.0.0.1") == verdict


def test_what_ufw_does_not_say_is_not_known() -> None:
    assert Ufw("").verdicts("10.0.0.2", 22) == EITHER


FIREWALLD = """\
block
  target: %%REJECT%%
  icmp-block-inversion: no
  interfaces:
  sources:
  services:
  ports:
  rich rules:

public (active)
  target: default
  icmp-block-inversion: no
  interfaces: eth0
  sources:
  services: cockpit dhcpv6-client ssh
  ports: 16514/tcp 5900-5910/tcp 24007/udp
  protocols:
  forward: yes
  masquerade: no
  forward-ports:
  source-ports:
  icmp-blocks:
  rich rules:
\trule family="ipv4" source address="10.0.0.2" port port="49152-49215" protocol="tcp" accept
\trule family="ipv4" source address="10.0.0.3" drop
\trule family="ipv4" source NOT address="10.0.0.0/24" service name="nfs" accept
\trule family="ipv4" source ipset="hosts" port port="111" protocol="tcp" accept

trusted (active)
  target: ACCEPT
  interfaces:
  sources: 192.168.0.0/24
  services:
  ports:
  rich rules:
"""


@pytest.mark.parametrize(
    ("source", "port", "verdict"),
    [
        ("10.0.0.9", 22, ACCEPT),
        ("10.0.0.9", 16514, ACCEPT),
        ("10.0.0.9", 24007, DROP),
        ("10.0.0.2", 49152, ACCEPT),
        ("10.0.0.9", 49152, DROP),
        ("10.0.0.3", 22, DROP),
        ("10.0.0.9", 2049, DROP),
        ("10.9.0.9", 2049, ACCEPT),
        ("10.0.0.9", 111, EITHER),
        ("192.168.0.7", 49152, ACCEPT),
    ],
)
def test_firewallds_zones_are_understood(source: str, port: int, verdict: frozenset[str]) -> None:
    assert Firewalld(FIREWALLD).verdicts(source, port) == verdict


def test_a_service_of_firewalld_that_is_not_known_may_open_anything() -> None:
    assert Firewalld(FIREWALLD.replace("cockpit", "ours")).verdicts("10.0.0.9", 49152) == EITHER


def test_real_zones_of_firewalld_are_understood() -> None:
    rules = Firewalld((Path(__file__).parent / "firewalls" / "firewalld-2.3.1.txt").read_text())
    assert [zone.name for zone in rules.zones_of("10.77.8.11")] == ["public"]
    assert [rules.verdicts("10.77.8.11", port) for port in (22, 16514)] == [ACCEPT, DROP]


def test_zones_of_the_hosts_own_bridges_do_not_concern_other_hosts() -> None:
    zones = "libvirt (active)\n  target: ACCEPT\n  interfaces: virbr0\n\npublic (default, active)\n  interfaces: \n"
    assert Firewalld(zones).verdicts("10.0.0.2", 16514) == DROP
    zones = zones.replace("virbr0", "virbr0 eth1")
    assert Firewalld(zones).verdicts("10.0.0.2", 16514) == EITHER
