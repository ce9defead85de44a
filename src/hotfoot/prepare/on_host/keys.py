"""SSH keys made on the host, certificates that come from the cluster's authority, and keys of Ceph."""

import os
import pwd
import ssl
from typing import Any, Dict, Optional, Tuple

from hotfoot.prepare.on_host import files
from hotfoot.prepare.on_host.ledger import Ledger
from hotfoot.prepare.on_host.paths import make_above, make_folder, owner_of, resolve, set_outside
from hotfoot.prepare.on_host.programs import Trouble, run

PLACES = {
    "libvirt": {
        "authority": "/etc/pki/CA/cacert.pem",
        "server": ("/etc/pki/libvirt/servercert.pem", "/etc/pki/libvirt/private/serverkey.pem"),
        "client": ("/etc/pki/libvirt/clientcert.pem", "/etc/pki/libvirt/private/clientkey.pem"),
    },
    "qemu": {
        "authority": "/etc/pki/qemu/ca-cert.pem",
        "server": ("/etc/pki/qemu/server-cert.pem", "/etc/pki/qemu/server-key.pem"),
        "client": ("/etc/pki/qemu/client-cert.pem", "/etc/pki/qemu/client-key.pem"),
    },
}  # type: Dict[str, Dict[str, Any]]
"""Where libvirt and QEMU look: https://libvirt.org/kbase/tlscerts.html and QEMU's default_tls_x509_cert_dir."""


def make_ssh_key(ledger: Ledger, step: Dict[str, Any]) -> Dict[str, str]:
    """Make a user's key pair where there is none; returns its public half."""
    try:
        user = pwd.getpwnam(step["user"])
    except KeyError:
        raise Trouble("there is no user {} on this host".format(step["user"])) from None
    path = step["path"]
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        make_above(ledger, resolve(folder))
        make_folder(ledger, folder, 0o700, "{}:{}".format(user.pw_uid, user.pw_gid))
    real = resolve(path)
    if not os.path.lexists(real):
        halves = [files.will_make(ledger, each) for each in (real, real + ".pub")]
        comment = "{}@{}".format(step["user"], os.uname().nodename)
        ran = run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", real],
            30,
            user=(user.pw_uid, user.pw_gid),
            env={"HOME": user.pw_dir},
        )
        if ran.status != 0:
            raise Trouble("the SSH key {} cannot be made: {}".format(path, ran.said))
        for act in halves:
            files.made(ledger, act)
    public = run(["ssh-keygen", "-y", "-P", "", "-f", real], 30)
    if public.status != 0:
        raise Trouble("the SSH key {} cannot be read: {}".format(path, public.said))
    kind, key = public.out.split()[:2]
    return {"public-key": "{} {} {}@{}".format(kind, key, step["user"], os.uname().nodename)}


def put_certificates(ledger: Ledger, order: Dict[str, Any]) -> None:
    """Write authority, certificates and keys in the place of libvirt or of QEMU.

    ``order["pem"]`` holds the texts: ``authority``, ``certificate`` and ``key``; without them all that is in place is
    good, and only modes and owners are seen to.
    """
    step = order["step"]
    place, pem = PLACES[step["place"]], order.get("pem")
    mode, owner = step.get("key_mode", 0o600), step.get("key_owner", "root:root")
    group = owner_of(owner)[1]
    for role in ("server", "client"):
        folder = os.path.dirname(place[role][1])
        if not os.path.isdir(folder) and folder.endswith("/private"):
            # Whoever may read the key has to reach it.
            make_folder(ledger, folder, 0o750 if mode & 0o040 else 0o700, "root:{}".format(group))
    if pem is None:
        for role in ("server", "client"):
            set_outside(ledger, place[role][1], mode, owner)
        return
    files.put(ledger, place["authority"], pem["authority"].encode("ascii"), 0o644, "root:root")
    for role in ("server", "client"):
        certificate, key = place[role]
        files.put(ledger, key, pem["key"].encode("ascii"), mode, owner)
        files.put(ledger, certificate, pem["certificate"].encode("ascii"), 0o644, "root:root")


def put_keyring(ledger: Ledger, order: Dict[str, Any]) -> None:
    """Write a keyring of Ceph with the key that came with the order, which is base64 there and here."""
    step = order["step"]
    text = "[{}]\n\tkey = {}\n".format(step["entity"], order["secret"])
    files.put(ledger, step["path"], text.encode("ascii"), step["mode"], step["owner"])


def certificates(place: str) -> Dict[str, Any]:
    """Tell what is in a place: texts of the authority and the certificates, and whether each key fits its own."""
    paths = PLACES[place]
    return {
        "authority": _text(paths["authority"]),
        "certificates": [_text(paths[role][0]) for role in ("server", "client")],
        "keys_fit": all(_fits(paths[role]) for role in ("server", "client")),
    }


def _fits(pair: Tuple[str, str]) -> bool:
    if not os.path.isfile(pair[1]):
        return False
    try:
        # An empty password, or OpenSSL would ask for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair[0], pair[1], password="")
    except (OSError, ValueError):
        return False
    return True


def _text(path: str) -> Optional[str]:
    try:
        with open(path) as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None
