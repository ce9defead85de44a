"""What a host says about files and devices: one script, one round trip, one answer. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from hotfoot.migration.facts import FileSight, HostFiles

SCRIPT = r"""
see() {
  at=$1; there=missing; inode=0; size=0; wwid=
  if [ -e "$1" ]; then
    there=present
    if [ -b "$1" ]; then
      size=$(blockdev --getsize64 "$1" 2>/dev/null || echo 0)
      wwid=$(lsblk -dno WWN "$1" 2>/dev/null | tr -d ' ')
      [ -n "$wwid" ] || wwid=$(lsblk -dno SERIAL "$1" 2>/dev/null | tr -d ' ')
    else
      set -- "$1" $(stat -Lc '%i %s' -- "$1"); inode=$2; size=$3
    fi
  else
    while [ ! -e "$at" ]; do at=$(dirname "$at"); done
  fi
  mount=$(findmnt -no FSTYPE,SOURCE -T "$at" | head -n 1)
  set -- "$1" $mount
  [ "${2-}" = fuse.ceph-fuse ] && set -- "$1" "$2" "$(ceph "$at")"
  free=$(stat -fc '%a %S' -- "$at" | { read -r blocks bytes; echo $((blocks * bytes)); })
  printf 'file\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" $there "$inode" "$size" "${2:--}" "${3:--}" "$free" \
    "${wwid:--}"
}
ceph() {
  python3 -I - "$1" <<'END' 2>/dev/null
import os, sys
def told(name):
    try:
        return os.getxattr(sys.argv[1], name).decode()
    except OSError:
        return ""
cluster = told("ceph.cluster_fsid")
print(cluster and cluster + "/" + told("ceph.file.layout.pool"))
END
}
faults() {
  case $(cat /proc/sys/vm/unprivileged_userfaultfd 2>/dev/null) in 1) echo yes; return;; esac
  case $(stat -c '%a %G' /dev/userfaultfd 2>/dev/null) in *6\ *) echo yes; return;; ?6?\ [!r]*) echo yes; return;; esac
  echo no
}
printf 'userfaultfd\t%s\n' "$(faults)"
device() { [ -e "/sys/class/net/$1" ] || printf 'nodevice\t%s\n' "$1"; }
sed -n '/^[[:space:]]*shared_filesystems[[:space:]]*=/,/]/{s/#.*//;s/["'"'"']/\n/g;p}' \
  /etc/libvirt/qemu.conf 2>/dev/null |
  while read -r folder; do case $folder in /*) printf 'told\t%s\n' "$folder";; esac; done
ip -o addr show scope global 2>/dev/null | while read -r _ _ _ address _; do
  printf 'address\t%s\n' "${address%%/*}"
done
"""
"""POSIX shell with coreutils and util-linux, which every host has, and Python for ceph-fuse alone; never writes."""


def question(paths: Sequence[str], devices: Sequence[str]) -> str:
    """Return the script that looks at these paths and network devices."""
    asked = [f"see {shlex.quote(path)}" for path in paths]
    asked += [f"device {shlex.quote(device)}" for device in devices]
    return SCRIPT + "\n".join([*asked, "exit 0", ""])


def answer(text: str) -> HostFiles:
    """Read what the script printed; lines of another kind (a login banner) are passed over."""
    files: dict[str, FileSight] = {}
    missing, addresses, shared = [], [], []
    userfaultfd: bool | None = None
    for line in text.splitlines():
        match line.split("\t"):
            case ["file", path, there, inode, size, fs_type, source, free, wwid]:
                files[path] = FileSight(
                    path=path,
                    exists=there == "present",
                    inode=_number(inode),
                    size_bytes=_number(size),
                    fs_type=_word(fs_type),
                    mount_source=_word(source),
                    free_bytes=_number(free),
                    wwid=_word(wwid),
                )
            case ["nodevice", name]:
                missing.append(name)
            case ["told", folder]:
                shared.append(folder.rstrip("/") + "/")
            case ["address", address]:
                addresses.append(address)
            case ["userfaultfd", said]:
                userfaultfd = said == "yes"
            case _:
                pass
    for path, sight in files.items():
        if any(path.startswith(folder) for folder in shared):
            files[path] = replace(sight, told_shared=True)
    return HostFiles(files=files, missing_devices=tuple(missing), addresses=tuple(addresses), userfaultfd=userfaultfd)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _word(text: str) -> str:
    return "" if text == "-" else text
