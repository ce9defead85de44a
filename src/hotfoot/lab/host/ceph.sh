#!/bin/sh
# A small Ceph cluster, one monitor and one OSD in memory, among the supervisor's mounts and processes:
# ceph.sh IMAGE DISK FILES KIND NAME
# IMAGE  the cached root file system, read only     DISK  a folder of its own on the lab's tmpfs
# FILES  holds ceph.conf and keyring, gets ready once the cluster serves
# KIND   rbd: NAME is a pool for images   cephfs: NAME is a file system with a metadata server, and a folder in it
set -eu
image=$1 disk=$2 files=$3 kind=$4 name=$5

mkdir -p "$disk/upper" "$disk/work" "$disk/root"
cd "$disk"
mount -t overlay hotfoot -o "lowerdir=$image,upperdir=upper,workdir=work" root
mount -t proc proc root/proc
mount -t tmpfs -o mode=755,size=4m dev root/dev
node() { mknod -m 666 "root/dev/$1" c "$2" "$3"; }
node null 1 3; node zero 1 5; node full 1 7; node random 1 8; node urandom 1 9
mkdir root/dev/shm
mount -t tmpfs -o mode=755 run root/run
mkdir -p root/run/ceph root/var/lib/ceph/mon/ceph-a root/var/lib/ceph/osd/ceph-0 root/var/lib/ceph/mds/ceph-a
cp "$files/ceph.conf" root/etc/ceph/ceph.conf
install -m 0600 "$files/keyring" root/etc/ceph/ceph.keyring

inside() { chroot root "$@"; }
setting() { sed -n "s/^$1 = //p" "$files/ceph.conf"; }
fsid=$(setting fsid) address=$(setting public_addr)
inside monmaptool --create --fsid "$fsid" --addv a "[v2:$address:3300,v1:$address:6789]" /run/monmap
inside ceph-mon --mkfs -i a --monmap /run/monmap --keyring /etc/ceph/ceph.keyring
inside ceph-mon -f -i a &
# One client for all questions: its start costs more than they do.
if [ "$kind" = rbd ]; then
    inside ceph --connect-timeout 60 <<END
osd new $fsid 0
osd pool create $name 8 8
osd pool application enable $name rbd
END
else
    # A host that dies must not hold up the others for Ceph's usual 300 s; 30 is the least it takes.
    inside ceph --connect-timeout 60 <<END
osd new $fsid 0
osd pool create $name.meta 8 8
osd pool create $name.data 8 8
fs new $name $name.meta $name.data
fs set $name session_timeout 30
fs set $name session_autoclose 30
END
    inside ceph-mds -f -i a &
fi
inside ceph-osd --mkfs -i 0 --osd-uuid "$fsid"
inside ceph-osd -f -i 0 &
if [ "$kind" = rbd ]; then
    # Written and removed: the cluster serves.
    inside rbd create --size 1 "$name/ready"
    inside rbd rm --no-progress "$name/ready"
else
    # Made and given a size: the cluster serves. Of its whole size only a manager would know.
    node fuse 10 229
    until inside ceph-fuse --id admin --client_fs "$name" /mnt; do sleep 0.5; done
    mkdir "root/mnt/$name"
    inside python3 -c 'import os, sys; os.setxattr(sys.argv[1], "ceph.quota.max_bytes", b"4294967296")' "/mnt/$name"
    umount root/mnt
fi
: > "$files/ready"
wait
