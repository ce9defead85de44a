"""The configuration of the lab's OpenStack: a pure function from a lab and its passwords to the services' files.

Sources: the services' own configuration references. What differs from their defaults has its reason beside it.
"""

from __future__ import annotations

import json

from hotfoot.lab import openstack_cinder
from hotfoot.lab.host_files import File
from hotfoot.lab.openstack_parts import (
    Passwords,
    address,
    catalogue,
    database,
    login,
    queue,
    token_check,
    url,
    volume_services,
)
from hotfoot.lab.spec import INSTANCES_PATH, Lab, LabHost

CLOUD = "lab"
"""The cloud's name in clouds.yaml."""
CLOUDS_FILE = "clouds.yaml"
"""Below the lab's folder, beside the cluster file."""
PROGRAMS = "opt/openstack"
"""Below a root: OpenStack's Python and programs, on the controller and on hosts."""
COMPUTE_UNIT = "nova-compute.service"
PHYSICAL_NETWORK = "data"


def clouds_text(lab: Lab, passwords: Passwords) -> str:
    """Return the clouds.yaml of the lab's administrator."""
    auth = {
        "auth_url": url(lab, "keystone"),
        "username": "admin",
        "password": passwords.admin,
        "project_name": "admin",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
    rows = "".join(f"      {key}: {json.dumps(value)}\n" for key, value in auth.items())
    return f"clouds:\n  {CLOUD}:\n    auth:\n{rows}    region_name: RegionOne\n    identity_api_version: 3\n"


def controller_files(lab: Lab, passwords: Passwords, keys: tuple[str, str, str, str]) -> dict[str, File]:
    """Return the control plane's files by path relative to its root, the same kind for a build of the databases.

    ``keys`` are two Fernet keys for tokens, and two for credentials.
    """
    seed = {"passwords": {"admin": passwords.admin, "openstack": passwords.services}, "endpoints": catalogue(lab)}
    found = {
        "etc/openstack/address": address(lab) + "\n",
        "etc/openstack/fake-hosts": f"{lab.fake_hosts}\n",
        "etc/openstack/volume-services": " ".join(volume_services() if lab.volumes else ()) + "\n",
        "etc/openstack/seed.json": json.dumps(seed),
        "etc/hosts": f"127.0.0.1 localhost\n{address(lab)} openstack\n"
        + "".join(f"{host.address} {host.name}\n" for host in lab.hosts),
        "etc/rabbitmq/rabbitmq.conf": _rabbitmq(lab, passwords),
        "etc/rabbitmq/enabled_plugins": "[].\n",
        "etc/keystone/keystone.conf": _keystone(),
        "etc/placement/placement.conf": _placement(lab, passwords),
        "etc/glance/glance-api.conf": _glance(lab, passwords),
        "etc/neutron/neutron.conf": _neutron(lab, passwords),
        "etc/cinder/cinder.conf": openstack_cinder.text(lab, passwords),
        "etc/nova/nova.conf": _nova(lab, passwords) + _nova_controller(),
        "etc/nova/fake.conf": _nova_fake(),
    }
    for folder, (staged, primary) in {"fernet-keys": keys[:2], "credential-keys": keys[2:]}.items():
        found[f"etc/keystone/{folder}/0"] = staged
        found[f"etc/keystone/{folder}/1"] = primary
    return {path: File(text, 0o600) for path, text in found.items()}


def compute_files(lab: Lab, host: LabHost, passwords: Passwords, node_memory_mib: int) -> dict[str, File]:
    """Return what makes a host a compute host, by path relative to its root; its unit is not started by itself.

    ``node_memory_mib`` is the host's memory by NUMA node of this machine: it is there that libvirt looks.
    """
    return {
        "etc/nova/nova.conf": File(_nova(lab, passwords) + _nova_compute(lab, host), 0o600),
        "etc/hotfoot-lab/node-meminfo": File(
            "".join(f"Node 0 {row}: {node_memory_mib * 1024:>10} kB\n" for row in ("MemTotal", "MemFree"))
        ),
        f"etc/systemd/system/{COMPUTE_UNIT}": File(_UNIT),
        # Nova's taps become ports of the instances' bridge.
        "etc/systemd/network/13-tap.network": File(
            "[Match]\nName=tap*\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nBridge=br0\n"
        ),
    }


_UNIT = f"""[Unit]
Description=OpenStack Nova Compute
After=network.target libvirtd.socket var-lib-nova-instances.mount
Wants=libvirtd.socket

[Service]
Environment=PYTHONPATH=/{PROGRAMS}/python
Environment=PATH=/{PROGRAMS}/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/{PROGRAMS}/bin/nova-compute
LogsDirectory=nova
TimeoutStopSec=15

[Install]
WantedBy=multi-user.target
"""


def _rabbitmq(lab: Lab, passwords: Passwords) -> str:
    return f"""listeners.tcp.1 = {address(lab)}:5672
default_user = openstack
default_pass = {passwords.queue}
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 50MB
"""


def _keystone() -> str:
    # Without its cache each request costs a third of a second.
    return f"""[DEFAULT]
log_file = /var/log/openstack/keystone.log
[database]
{database("keystone")}
[token]
provider = fernet
[cache]
enabled = true
backend = dogpile.cache.memory
[identity]
password_hash_algorithm = bcrypt
password_hash_rounds = 4
"""


def _placement(lab: Lab, passwords: Passwords) -> str:
    return f"""[DEFAULT]
log_file = /var/log/openstack/placement.log
[placement_database]
{database("placement")}
[api]
auth_strategy = keystone
{token_check(lab, passwords)}"""


def _glance(lab: Lab, passwords: Passwords) -> str:
    return f"""[DEFAULT]
log_file = /var/log/openstack/glance.log
enabled_backends = file:file
enabled_import_methods = []
worker_self_reference_url = {url(lab, "glance")}
[database]
{database("glance")}
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = /var/lib/glance/images
[os_glance_staging_store]
filesystem_store_datadir = /var/lib/glance/staging
[os_glance_tasks_store]
filesystem_store_datadir = /var/lib/glance/tasks
[paste_deploy]
flavor = keystone
config_file = /etc/glance/glance-api-paste.ini
{token_check(lab, passwords)}"""


def _neutron(lab: Lab, passwords: Passwords) -> str:
    return f"""[DEFAULT]
log_file = /var/log/openstack/neutron.log
state_path = /var/lib/neutron
{queue(lab, passwords)}
core_plugin = ml2
service_plugins =
auth_strategy = keystone
rpc_workers = 0
dhcp_agent_notification = false
# A port is up as soon as it is bound: nobody waits for such a message.
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
api_paste_config = /etc/neutron/api-paste.ini
[database]
{database("neutron")}
[ml2]
type_drivers = flat
tenant_network_types =
mechanism_drivers = hotfoot_lab
extension_drivers = port_security
[ml2_type_flat]
flat_networks = {PHYSICAL_NETWORK}
[oslo_concurrency]
lock_path = /run/lock/neutron
{token_check(lab, passwords)}"""


def _nova(lab: Lab, passwords: Passwords) -> str:
    """Return what nova.conf says everywhere; its last section is open for more."""
    credentials = login(lab, passwords)
    clients = "".join(f"[{name}]\n{credentials}" for name in ("glance", "cinder", "neutron", "placement"))
    return f"""[cache]
enabled = false
[vnc]
enabled = false
[oslo_concurrency]
lock_path = /run/lock/nova
[oslo_messaging_rabbit]
rabbit_quorum_queue = false
[service_user]
send_service_user_token = true
{credentials}{clients}{token_check(lab, passwords)}[DEFAULT]
{queue(lab, passwords)}
# A host that died shows within twelve seconds instead of a minute.
report_interval = 3
service_down_time = 12
rpc_response_timeout = 30
long_rpc_timeout = 120
graceful_shutdown_timeout = 2
manager_shutdown_timeout = 2
# Neutron here sends no message when a port is plugged.
vif_plugging_timeout = 0
vif_plugging_is_fatal = false
"""


def _nova_controller() -> str:
    return f"""log_dir = /var/log/openstack
state_path = /var/lib/nova
[api_database]
{database("nova_api")}
[database]
{database("nova_cell1")}
[wsgi]
api_paste_config = /etc/nova/api-paste.ini
[conductor]
workers = 1
[scheduler]
workers = 1
discover_hosts_in_cells_interval = 5
"""


def _nova_compute(lab: Lab, host: LabHost) -> str:
    return f"""host = {host.name}
my_ip = {host.address}
compute_driver = libvirt.LibvirtDriver
state_path = /var/lib/nova
instances_path = {INSTANCES_PATH}
log_file = /var/log/nova/nova-compute.log
# Images are copied as they are, and their disks are thin copies of these.
force_raw_images = false
reserved_host_memory_mb = 0
# The witness does not heed the power button: nobody need wait a minute for it.
shutdown_timeout = 5
ram_allocation_ratio = 1.0
cpu_allocation_ratio = 16.0
[compute]
live_migration_wait_for_vif_plug = false
# It is root already, and hosts have no sudo.
[nova_sys_admin]
helper_command = privsep-helper
[vif_plug_ovs_privileged]
helper_command = privsep-helper
[privsep_osbrick]
helper_command = privsep-helper
[workarounds]
# Else an image of a kernel and a ramdisk cannot be block-migrated.
disable_deep_image_inspection = true
[libvirt]
virt_type = {"kvm" if lab.accelerator == "kvm" else "qemu"}
connection_uri = qemu:///system
live_migration_scheme = {lab.transport}
live_migration_inbound_addr = {host.address}
{"cpu_mode = host-model" if lab.accelerator == "kvm" else _TCG_CPU}
hw_machine_type = x86_64=pc
rng_dev_path = /dev/urandom
"""


_TCG_CPU = "cpu_mode = custom\ncpu_models = qemu64"


def _nova_fake() -> str:
    return """[DEFAULT]
compute_driver = fake.LabFakeDriver
# Each is a process that reports; many of them must leave the machine some room.
report_interval = 5
ram_allocation_ratio = 1.0
"""
