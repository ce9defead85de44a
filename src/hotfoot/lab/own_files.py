"""A lab's files written to disk: each host's own, and those of this machine as its controller."""

from __future__ import annotations

import os
from pathlib import Path

from hotfoot.lab import store
from hotfoot.lab.cluster_text import cluster_text
from hotfoot.lab.host_files import File
from hotfoot.lab.spec import Lab
from hotfoot.lab.trust import Trust


def groups_of(root: Path) -> dict[str, int]:
    """Return the numbers of an image's groups by name."""
    rows = [line.split(":") for line in (root / "etc/group").read_text().splitlines()]
    return {row[0]: int(row[2]) for row in rows}


def write_host_files(folder: Path, found: dict[str, File], groups: dict[str, int]) -> None:
    """Write a host's own files below a folder, which the host lays over its image when it first starts."""
    for relative, file in found.items():
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.link_to is not None:
            path.symlink_to(file.link_to)
            continue
        with path.open("w") as out:
            os.fchmod(out.fileno(), file.mode)
            out.write(file.content)
        os.chown(path, 0, groups[file.group] if file.group else 0)
    # Folders that this tree brings along must not open up what the root keeps private.
    for private in ("root", "root/.ssh", "etc/pki/libvirt/private"):
        if (folder / private).exists():
            (folder / private).chmod(0o700)


def write_controller_files(lab: Lab, keys: Trust) -> None:
    """Write the cluster file and what it names: for a bare lab the way in by SSH only."""
    folder = store.folder_of(lab.name)
    known_hosts = "".join(f"{h.name},{h.address} {keys.host_keys[h.name].public}" for h in lab.hosts)
    pki = {
        "pki/cacert.pem": (keys.authority, 0o644),
        "pki/cakey.pem": (keys.authority_key, 0o600),
        "pki/clientcert.pem": (keys.controller.public, 0o644),
        "pki/clientkey.pem": (keys.controller.private, 0o600),
    }
    written = ({} if lab.bare else pki) | {
        "ssh/id_ed25519": (keys.login.private, 0o600),
        "ssh/known_hosts": (known_hosts, 0o644),
        "hotfoot.yaml": (cluster_text(lab), 0o644),
    }
    for relative, (content, mode) in written.items():
        path = folder / relative
        path.parent.mkdir(exist_ok=True)
        path.touch(mode)
        path.write_text(content)
