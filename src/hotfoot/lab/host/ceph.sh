#!/bin/sh
# A small Ceph cluster, one monitor and one OSD in memory, among the supervisor's mounts and processes:
# ceph.sh IMAGE DISK FILES POOL
# IMAGE  the cached root file system, read only     DISK  a folder of its own on the lab's tmpfs
# FILES  holds ceph.conf and keyring, gets ready once the cluster serves the pool
set -eu
image=$1 disk=$2 files=$3 pool=$4

mkdir -p "$disk/upper" "$disk/work" "$disk/root"
cd "$disk"
mount -t overlay hotfoot -o "lowerdir=$image,upperdir=upper,workdir=work" root
mount -t proc proc root/proc
mount -t tmpfs -o mode=755,size=4m dev root/dev
node() { mknod -m 666 "root/dev/$1" c "$2" "$3"; }
node null 1 3; node zero 1 5; node full 1 7; node random 1 8; node urandom 1 9
mkdir root/dev/shm
mount -t tmpfs -o mode=755 run root/run
mkdir -p root/run/ceph root/var/lib/ceph/mon/ceph-a root/var/lib/ceph/osd/ceph-0
cp "$files/ceph.conf" root/etc/ceph/ceph.conf
install -m 0600 "$files/keyring" root/etc/ceph/ceph.keyring

inside() { chroot root "$@"; }
setting() { sed -n "s/^$1 = //p" "$files/ceph.conf"; }
fsid=$(setting fsid) address=$(setting public_addr)
inside monmaptool --create --fsid "$fsid" --addv a "[v2:$address:3300,v1:$address:6789]" /run/monmap
inside ceph-mon --mkfs -i a --monmap /run/monmap --keyring /etc/ceph/ceph.keyring
inside ceph-mon -f -i a &
# One client for all questions: its start costs more than they do.
inside ceph --connect-timeout 60 <<END
osd new $fsid 0
osd pool create $pool 8 8
osd pool application enable $pool rbd
END
inside ceph-osd --mkfs -i 0 --osd-uuid "$fsid"
inside ceph-osd -f -i 0 &
# Written and removed: the cluster serves.
inside rbd create --size 1 "$pool/ready"
inside rbd rm --no-progress "$pool/ready"
: > "$files/ready"
wait
