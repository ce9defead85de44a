"""An administrator's own connection to the cloud of a lab, beside Hotfoot's."""

from __future__ import annotations

from openstack.config import OpenStackConfig
from openstack.connection import Connection
from tests.lab.labs import TestLab


def connection_to(lab: TestLab) -> Connection:
    """Return a connection by the clouds.yaml that the lab has written."""
    told = lab.lab("status", "--json").json["openstack"]
    config = OpenStackConfig(config_files=[told["clouds_file"]], load_envvars=False)
    return Connection(config=config.get_one(told["cloud"]))
