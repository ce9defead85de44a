from __future__ import annotations

import json

import pytest

from hotfoot.cluster.validation import cluster_from, cluster_json
from hotfoot.errors import HotfootError
from hotfoot.reach.migration_address import addresses_in, migration_address
from hotfoot.reach.ssh import SshAccess

from .conftest import Sshd
from .test_ssh import access

# Recorded from `ip -json address show up` (iproute2 6.1), shortened.
IP_JSON = """[
 {"ifname":"lo","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8}]},
 {"ifname":"eth0","addr_info":[{"family":"inet","local":"10.77.0.11","prefixlen":24},{"family":"inet6","local":"fe80::1","prefixlen":64}]},
 {"ifname":"eth1","addr_info":[{"family":"inet","local":"10.88.0.11","prefixlen":24}]},
 {}
]"""


def test_the_one_address_in_the_network() -> None:
    assert addresses_in(IP_JSON, "10.88.0.0/24") == ["10.88.0.11"]
    assert addresses_in(IP_JSON, "10.0.0.0/8") == ["10.77.0.11", "10.88.0.11"]
    assert addresses_in(IP_JSON, "fd00::/8") == []


def on_network(reach: SshAccess, network: str) -> SshAccess:
    own = {"migration": {"network": network}, "policy": {}, "balance": {}}
    raw = json.loads(cluster_json(reach.cluster)) | own
    raw["hosts"][0]["address"] = "localhost"  # a name, so that only the host itself can tell
    cluster = cluster_from(raw)
    return SshAccess(cluster, reach.config, reach.command)


async def test_the_host_itself_is_asked(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> None:
    reach = on_network(access(sshd, tmp_path_factory.mktemp("run")), "127.0.0.0/8")
    assert await migration_address(reach, reach.cluster.hosts[0]) == "127.0.0.1"
    reach = on_network(reach, "2001:db8::/32")
    with pytest.raises(HotfootError, match=r"host n1 has no address in migration.network 2001:db8::/32"):
        await migration_address(reach, reach.cluster.hosts[0])
