"""The cluster file that a lab writes for itself."""

from __future__ import annotations

from hotfoot.lab import ceph, iscsi
from hotfoot.lab.bare import MIGRATION_USER, servers_of
from hotfoot.lab.openstack_config import CLOUD, CLOUDS_FILE
from hotfoot.lab.spec import BRICK, INSTANCES_PATH, Lab

_STORAGE_TYPES = {
    "glusterfs": "glusterfs",
    "nfs": "nfs",
    "cephfs": "cephfs",
    "ceph": "local",
    "iscsi": "local",
    "none": "local",
}


def cluster_text(lab: Lab) -> str:
    """Return the text of the lab's cluster file, written to be read by people too.

    That of a bare lab says what its hosts are to become, and which of them are to serve the storage.
    """
    pki = ", pki: pki" if lab.transport == "tls" else ""
    served = ""
    if lab.bare and lab.storage in ("glusterfs", "nfs"):
        served = f", servers: [{', '.join(servers_of(lab))}], folder: {BRICK}"
    elif lab.storage == "cephfs":
        served = f",\n     {ceph.storage_words(lab)}"
    lines = [
        f"# Lab {lab.name}, written by `hotfoot lab up`; gone with `hotfoot lab down --name {lab.name}`.",
        f"name: {lab.name}",
        "ssh: {user: root, key: ssh/id_ed25519, known_hosts: ssh/known_hosts}",
        f"libvirt: {{transport: {lab.transport}{pki}}}",
        # By SSH libvirt itself logs in, as root.
        *([f"migration: {{user: {MIGRATION_USER}}}"] if lab.bare and lab.transport != "ssh" else []),
        "storage:",
        f"  - {{path: {INSTANCES_PATH}, type: {_STORAGE_TYPES[lab.storage]}{served}}}",
        *(ceph.cluster_lines(lab) if ceph.has_pool(lab) else []),
        *(iscsi.cluster_lines(lab) if lab.storage == "iscsi" else []),
        *([f"openstack: {{cloud: {CLOUD}, clouds_file: {CLOUDS_FILE}}}"] if lab.openstack else []),
        "hosts:",
        *(f"  - {{name: {host.name}, address: {host.address}}}" for host in lab.hosts),
    ]
    return "\n".join(lines) + "\n"
