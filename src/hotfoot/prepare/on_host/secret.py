"""Secrets that libvirt holds: given the value that came with the order, and put back as they were."""

import base64
import html
import os
import shutil
import tempfile
from typing import Any, Dict, Optional

from hotfoot.prepare.on_host.ledger import Act, Ledger
from hotfoot.prepare.on_host.programs import Trouble, lines_of, must, run

_STORE = "/etc/libvirt/secrets"
_VIRSH = ("virsh", "-q", "-c", "qemu:///system")
_USAGE = {"ceph": "name", "iscsi": "target"}


def define(ledger: Ledger, order: Dict[str, Any]) -> None:
    """Have libvirt hold a secret; the value never is in an argument, and of an old one only this host keeps a copy."""
    step = order["step"]
    value = base64.b64decode(order["secret"])
    uuid = step["uuid"]
    old_xml, old = _definition(uuid), _value(uuid)
    if old_xml is not None and old == value:
        return
    act = ledger.begin(
        "secret",
        uuid=uuid,
        usage=step["usage"],
        old_xml=old_xml,
        old_value=ledger.save(old) if old is not None else None,
        store=os.path.isdir(_STORE),
    )
    xml = "<secret ephemeral='no' private='yes'><uuid>{}</uuid><usage type='{}'><{}>{}</{}></usage></secret>".format(
        uuid, step["kind"], _USAGE[step["kind"]], html.escape(step["usage"], quote=False), _USAGE[step["kind"]]
    )
    try:
        _set(uuid, old_xml or xml, value)
    except Trouble:
        if old_xml is None:
            run([*_VIRSH, "secret-undefine", uuid])
        raise
    ledger.done(act, mtime_ns=_mtime_ns(uuid))


def take_back(ledger: Ledger, act: Act, force: bool) -> Optional[str]:
    """Undefine the secret, or give it its old value; returns why it is left as it is."""
    uuid = act["uuid"]
    if _definition(uuid) is None:
        return None
    if "done" in act and act["done"]["mtime_ns"] != _mtime_ns(uuid) and not force:
        return "the secret {} was changed since".format(uuid)
    user = _user_of(uuid, act["usage"])
    if user is not None and not force:
        return "instance {} runs with the secret {}".format(user, uuid)
    if act["old_xml"] is not None:
        if act["old_value"] is None:
            return "its old value was not to be had"
        _set(uuid, act["old_xml"], ledger.load(act["old_value"]))
        return None
    must([*_VIRSH, "secret-undefine", uuid], "the secret {} cannot be undefined".format(uuid))
    if not act["store"] and os.path.isdir(_STORE) and not os.listdir(_STORE):
        os.rmdir(_STORE)
    return None


def _set(uuid: str, xml: str, value: bytes) -> None:
    work = tempfile.mkdtemp(prefix="hotfoot-secret.", dir="/run")  # root's alone, and never on a disk
    try:
        definition, content = os.path.join(work, "xml"), os.path.join(work, "value")
        with open(definition, "w") as file:
            file.write(xml)
        with open(content, "wb") as binary:
            binary.write(base64.b64encode(value))
        must([*_VIRSH, "secret-define", definition], "the secret {} cannot be defined".format(uuid))
        must([*_VIRSH, "secret-set-value", uuid, "--file", content], "the secret {} takes no value".format(uuid))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _definition(uuid: str) -> Optional[str]:
    ran = run([*_VIRSH, "secret-dumpxml", uuid])
    return ran.out if ran.status == 0 else None


def _path(uuid: str) -> str:
    return os.path.join(_STORE, uuid + ".base64")


def _value(uuid: str) -> Optional[bytes]:
    """What libvirt keeps of a private secret, which it tells nobody."""
    try:
        with open(_path(uuid), "rb") as file:
            return base64.b64decode(file.read(), validate=True)
    except (OSError, ValueError):
        return None


def _mtime_ns(uuid: str) -> int:
    try:
        return os.stat(_path(uuid)).st_mtime_ns
    except OSError:
        return 0


def _user_of(uuid: str, usage: str) -> Optional[str]:
    """Return a running instance whose definition names the secret; its XML quotes with apostrophes."""
    marks = ("uuid='{}'".format(uuid), "usage='{}'".format(html.escape(usage, quote=False).replace("'", "&apos;")))
    for name in lines_of(run([*_VIRSH, "list", "--name"]).out):
        xml = run([*_VIRSH, "dumpxml", "--domain", name]).out
        secrets = [line for line in xml.splitlines() if "<secret " in line]
        if any(mark in line for line in secrets for mark in marks):
            return name
    return None
