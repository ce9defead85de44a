"""Tokens in pools of Ceph: an object written, locked, held, read by the others, and removed in any case.

Runs on hosts (Python 3.6 and newer, standard library only), joined with its neighbours before it is sent. It asks by
librados, which QEMU's own driver brings along, and with the very key that QEMU is given: that of libvirt's secret,
and where that cannot be read (libvirt encrypts it from 12.1 on) the one in the keyring.
"""

import ctypes
import errno
import hashlib
import os
from contextlib import suppress
from typing import Any

from hotfoot.reach.proof.tokens import TOKEN_BYTES

CEPH_S = 4
"""How long librados waits for a monitor or an OSD; less than a token may take in all."""
_CEPH_CONF = "/etc/ceph/ceph.conf"
_SECRET_VALUES = "/etc/libvirt/secrets"
_LOCK = b"hotfoot"
_LOCK_S = 300


class PoolTrouble(Exception):
    """Why a pool cannot be used; ``refused``: Ceph does not take the key at all."""

    def __init__(self, why: str, refused: bool = False) -> None:
        Exception.__init__(self, why)
        self.refused = refused


class _Lasts(ctypes.Structure):
    _fields_ = [("tv_sec", ctypes.c_long), ("tv_usec", ctypes.c_long)]


class PoolToken:
    """One pool, with a token of this host's in it. Names are unique to a run: whoever dies leaves 2 KiB behind."""

    def __init__(self, asked: "dict[str, Any]") -> None:
        self._asked = asked
        self._name = asked["token"].encode()
        self._key_is_in = ""
        self._wrote = False

    def hold(self) -> "tuple[bool, dict[str, Any]]":
        """Connect, write the token and lock it."""
        content = os.urandom(TOKEN_BYTES // 4).hex().encode()
        try:
            self._connect()
            self._wrote = True
            self._must(
                self._rados.rados_write_full(self._pool, self._name, content, ctypes.c_size_t(len(content))),
                f"client.{self._asked['user']} cannot write in the pool {self._asked['pool']}",
            )
        except PoolTrouble as trouble:
            return False, {"problem": str(trouble), "refused": trouble.refused}
        locked = self._lock("rados_lock_exclusive")
        return True, {
            "problem": "",
            "refused": False,
            "sha256": hashlib.sha256(content).hexdigest(),
            "lock_error": os.strerror(locked) if locked else "",
        }

    def look(self, tokens: "list[dict[str, Any]]") -> "dict[str, Any]":
        """Read the tokens of other hosts, and try their locks; return what is seen of each, by host."""
        return {each["host"]: self._look_at(each) for each in tokens}

    def _look_at(self, token: "dict[str, Any]") -> "dict[str, Any]":
        name = token["name"].encode()
        room = ctypes.create_string_buffer(TOKEN_BYTES)
        length = self._rados.rados_read(self._pool, name, room, ctypes.c_size_t(TOKEN_BYTES), ctypes.c_uint64(0))
        found = {"problem": "", "same": False, "lock_refused": None, "lock_error": ""}  # type: dict[str, Any]
        if length == -errno.ENOENT:
            return found
        if length < 0:
            return dict(found, problem=os.strerror(-length))
        found["same"] = hashlib.sha256(room.raw[:length]).hexdigest() == token["sha256"]
        locked = self._lock("rados_lock_shared", name)
        found["lock_refused"] = locked in (errno.EBUSY, errno.EEXIST)
        if not locked:
            self._rados.rados_unlock(self._pool, name, _LOCK, self._name)
        elif not found["lock_refused"]:
            found["lock_error"] = os.strerror(locked)
        return found

    def remove(self) -> None:
        """Remove the token, where there may be one."""
        if self._wrote:
            self._rados.rados_remove(self._pool, self._name)

    def _connect(self) -> None:
        asked = self._asked
        try:
            self._rados = ctypes.CDLL("librados.so.2")
        except OSError:
            raise PoolTrouble("librados is not installed, which QEMU needs for its driver rbd") from None
        cluster, self._pool = ctypes.c_void_p(), ctypes.c_void_p()
        self._must(self._rados.rados_create(ctypes.byref(cluster), asked["user"].encode()), "librados does not start")
        read = self._rados.rados_conf_read_file(cluster, _CEPH_CONF.encode())
        self._must(read, f"{_CEPH_CONF} cannot be read")
        for option, value in self._options():
            self._must(self._rados.rados_conf_set(cluster, option.encode(), value.encode()), f"{option} is not taken")
        status = -self._rados.rados_connect(cluster)
        if status in (errno.EACCES, errno.EPERM, errno.EINVAL):
            what = f"the key of client.{asked['user']} in {self._key_is_in}"
            raise PoolTrouble(f"Ceph refuses {what}: {os.strerror(status)}", refused=True)
        if status == errno.ETIMEDOUT:
            raise PoolTrouble(f"no monitor of {_CEPH_CONF} answered within {CEPH_S} s")
        self._must(-status, "Ceph does not let this host in")
        status = self._rados.rados_ioctx_create(cluster, asked["pool"].encode(), ctypes.byref(self._pool))
        self._must(status, f"the pool {asked['pool']} cannot be opened")

    def _options(self) -> "list[tuple[str, str]]":
        """Return what differs from the host's own configuration: the key, an end in time, and no file written."""
        path = os.path.join(_SECRET_VALUES, self._asked["secret"] + ".base64")
        key = ("keyring", self._asked["keyring"])
        self._key_is_in = key[1]
        with suppress(OSError, UnicodeDecodeError), open(path, encoding="ascii") as file:
            # libvirt keeps values in base64, which is how Ceph writes a key.
            key = ("key", file.read().strip())
            self._key_is_in = path
        if key[0] == "keyring" and not os.path.exists(key[1]):
            raise PoolTrouble(f"there is no key of client.{self._asked['user']}, neither in libvirt nor in {key[1]}")
        waits = ("client_mount_timeout", "rados_mon_op_timeout", "rados_osd_op_timeout")
        return [key, ("log_file", ""), ("admin_socket", ""), *((wait, str(CEPH_S)) for wait in waits)]

    def _lock(self, kind: str, name: "bytes | None" = None) -> int:
        lasts = _Lasts(_LOCK_S, 0)
        tag = [b""] if kind == "rados_lock_shared" else []
        words = [name or self._name, _LOCK, self._name, *tag, b"", ctypes.byref(lasts), ctypes.c_uint8(0)]
        return -int(getattr(self._rados, kind)(self._pool, *words))

    @staticmethod
    def _must(status: int, what: str) -> None:
        if status < 0:
            raise PoolTrouble(f"{what}: {os.strerror(-status)}")
