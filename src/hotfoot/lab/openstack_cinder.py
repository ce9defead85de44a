"""The configuration of Cinder in a lab's OpenStack: a pure function, as that of the other services is.

Its volumes are images of the lab's Ceph, which QEMU opens by itself: nothing of them needs the kernel, which may have
neither iSCSI nor a device mapper.
"""

from __future__ import annotations

from hotfoot.lab import ceph
from hotfoot.lab.openstack_parts import Passwords, database, login, queue, token_check
from hotfoot.lab.spec import Lab

BACKEND = "ceph"


def text(lab: Lab, passwords: Passwords) -> str:
    """Return cinder.conf; without volumes it serves to make the database alone."""
    backend = _backend(lab) if lab.volumes else ""
    credentials = login(lab, passwords)
    return f"""[DEFAULT]
{queue(lab, passwords)}
log_dir = /var/log/openstack
state_path = /var/lib/cinder
api_paste_config = /etc/cinder/api-paste.ini
auth_strategy = keystone
enabled_backends = {BACKEND}
rpc_response_timeout = 30
# Not CapacityFilter: without its manager Ceph does not know how much room it has.
scheduler_default_filters = AvailabilityZoneFilter,CapabilitiesFilter
[database]
{database("cinder")}
[coordination]
backend_url = file:///var/lib/cinder/locks
[oslo_concurrency]
lock_path = /run/lock/cinder
[oslo_messaging_rabbit]
rabbit_quorum_queue = false
[service_user]
send_service_user_token = true
{credentials}[nova]
{credentials}{backend}{token_check(lab, passwords)}"""


def _backend(lab: Lab) -> str:
    return f"""[{BACKEND}]
volume_driver = cinder.volume.drivers.rbd.RBDDriver
volume_backend_name = {BACKEND}
rbd_ceph_conf = /etc/ceph/ceph.conf
rbd_pool = {ceph.pool(lab)}
rbd_user = {ceph.user(lab)}
rbd_secret_uuid = {ceph.secret(lab)}
"""
