"""A move of instance data as a shell script, for the exports: what ``on_host/data.py`` does, in programs' words.

It keeps no journal and does not copy extended attributes; copies that it made before it gave up stay on the share.
"""

from __future__ import annotations

import shlex

from hotfoot.readiness.change import MoveData

_SCRIPT = r"""
# PATH SOURCE KEEP: what is in PATH goes onto SOURCE, which fstab mounts there; the old data stays in KEEP.
# Copied beside what is there, every file compared by SHA-256 as the storage gives it back, and only then mounted.
set -eu
export LC_ALL=C
path=$1 source=$2 keep=$3 work=$(mktemp -d)
fail() { echo "$path: $*" >&2; exit 1; }
leave() {
    ! mountpoint -q "$work/share" || umount "$work/share"
    rm -rf "$work/lists"; rmdir "$work/share" "$work" 2>/dev/null || :
}
trap leave EXIT
mkdir "$work/share" "$work/lists"
refuse_users() {
    users=$(find /proc/[0-9]*/fd /proc/[0-9]*/cwd -maxdepth 1 \( -lname "$path" -o -lname "$path/*" \) 2>/dev/null || :)
    [ -z "$users" ] || fail "files in it are open: stop the instances that run from there"
}
names() { (cd "$1" && find . -mindepth 1 \( -type f -o -type d -o -type l \) -printf '%y %m %U %G %l %p\0' | sort -z); }
sums() { (cd "$path" && find . -type f -print0 | sort -z | xargs -0r sha256sum -b); }

[ "$(findmnt -snlo SOURCE "$path")" = "$source" ] || fail "/etc/fstab does not mount $source on it"
now=$(findmnt -nlo SOURCE --mountpoint "$path" || :)
case $(findmnt -snlo FSTYPE "$path") in fuse.ceph) shown=ceph-fuse ;; *) shown=$source ;; esac
[ "$now" != "$shown" ] || exit 0
[ -z "$now" ] || fail "$now is mounted on it"
[ -d "$path" ] && [ ! -L "$path" ] || fail "it is no folder"
[ ! -e "$keep" ] || fail "$keep is there, of an earlier move: look at it and remove it"
! findmnt -nro TARGET | grep -qF "$path/" || fail "something is mounted below it"
refuse_users
options=$(findmnt -snlo OPTIONS "$path" | tr , '\n' | grep -vE '^(x-.*|nofail|_netdev|noauto)$' | paste -sd , -)
aside() { mount -t "$(findmnt -snlo FSTYPE "$path")" -o "${options:-defaults}" "$source" "$work/share"; }
aside
names "$path" >"$work/lists/mine"
sums >"$work/lists/sums"
tar -C "$path" --format=posix --sparse --numeric-owner -cf - . |
    tar -C "$work/share" --numeric-owner --skip-old-files -xpf -
sync
umount "$work/share"
aside
names "$work/share" | comm -z -23 "$work/lists/mine" - >"$work/lists/missing"
[ ! -s "$work/lists/missing" ] || fail "this is not on $source, or is something else or another owner's there: $(
    tr '\0' '\n' <"$work/lists/missing" | head -n 5)"
(cd "$work/share" && sha256sum --quiet --strict -c "$work/lists/sums") ||
    fail "$source has other files of these names, or copies that were cut off; remove them there or here"
sums | cmp -s - "$work/lists/sums" || fail "files in it changed while they were copied; it is as it was"
umount "$work/share"
refuse_users
mv "$path" "$keep"
mkdir "$path"
chown --reference="$keep" "$path"
chmod --reference="$keep" "$path"
systemctl daemon-reload
mount "$path" || { rmdir "$path"; mv "$keep" "$path"; fail "it cannot be mounted; it is as it was before"; }
echo "$path: moved to $source; the old data is in $keep, delete it when all is well"
"""


def moving(step: MoveData) -> str:
    """Return the script of one move, for a shell of its own; it does nothing where it was done already."""
    return f"set -- {shlex.join((step.path, step.source, step.keep))}\n{_SCRIPT.lstrip()}"
