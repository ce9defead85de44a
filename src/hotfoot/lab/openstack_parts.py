"""The parts of a lab's OpenStack: which there are, where they answer, and what each says of the others in its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hotfoot.lab.spec import Lab

PORTS: Mapping[str, int] = {
    "keystone": 5000,
    "placement": 8778,
    "glance": 9292,
    "neutron": 9696,
    "nova-api": 8774,
    "cinder-api": 8776,
}
"""The services that answer by HTTP."""
SERVICES = ("mariadb", "rabbitmq", *PORTS, "nova-conductor", "nova-scheduler", "cinder-scheduler", "cinder-volume")
"""All that a control plane may have."""
_ENTRIES = {
    "keystone": ("keystone", "identity", "/v3"),
    "placement": ("placement", "placement", ""),
    "glance": ("glance", "image", ""),
    "neutron": ("neutron", "network", ""),
    "nova-api": ("nova", "compute", "/v2.1"),
    # The type that Nova looks for unless it is told otherwise, and that most clouds have.
    "cinder-api": ("cinderv3", "volumev3", "/v3"),
}
"""Name, type and path in Keystone's catalogue."""


@dataclass(frozen=True, slots=True)
class Passwords:
    """One lab's: of the cloud's administrator, of the services' user, and of RabbitMQ's."""

    admin: str
    services: str
    queue: str


def address(lab: Lab) -> str:
    """Return where the control plane answers, on the lab's management network."""
    return f"10.77.{lab.number}.250"


def services(lab: Lab) -> tuple[str, ...]:
    """Return the services of a lab's control plane."""
    return tuple(name for name in SERVICES if lab.volumes or name not in volume_services())


def volume_services() -> tuple[str, ...]:
    """Return those that only a lab with volumes has."""
    return tuple(name for name in SERVICES if name.startswith("cinder-"))


def apis(lab: Lab) -> tuple[str, ...]:
    """Return those of a lab's services that answer by HTTP."""
    return tuple(name for name in services(lab) if name in PORTS)


def url(lab: Lab, service: str) -> str:
    """Return where a service that answers by HTTP does so."""
    return f"http://{address(lab)}:{PORTS[service]}{_ENTRIES[service][2]}"


def catalogue(lab: Lab) -> list[list[str]]:
    """Return the entries of Keystone's catalogue: name, type and address each."""
    return [[*_ENTRIES[service][:2], url(lab, service)] for service in apis(lab)]


def database(name: str) -> str:
    """Return the line that names a service's database."""
    return f"connection = mysql+pymysql://root@localhost/{name}?unix_socket=/run/mysql.sock&charset=utf8"


def login(lab: Lab, passwords: Passwords) -> str:
    """Return the lines with which a service logs in to Keystone."""
    return f"""auth_type = password
auth_url = {url(lab, "keystone")}
username = openstack
password = {passwords.services}
project_name = service
user_domain_name = Default
project_domain_name = Default
region_name = RegionOne
"""


def token_check(lab: Lab, passwords: Passwords) -> str:
    """Return the section by which a service asks Keystone who is calling."""
    return f"""[keystone_authtoken]
www_authenticate_uri = {url(lab, "keystone")}
service_token_roles = service
service_token_roles_required = true
{login(lab, passwords)}"""


def queue(lab: Lab, passwords: Passwords) -> str:
    """Return the line that names RabbitMQ."""
    return f"transport_url = rabbit://openstack:{passwords.queue}@{address(lab)}:5672/"
