#!/bin/sh
# First process in a host's new namespaces: init.sh IMAGE DISK FILES NAME KVM(yes|no) PROGRAMS LAYER LIGHT(yes or nothing)
# IMAGE  the cached image, read only     DISK   this host's own folder on the lab's tmpfs
# FILES  this host's own files           The rest of the machine is out of reach once pivot_root is done.
# PROGRAMS  a folder to have at /opt/openstack, or nothing     LAYER  what lies above the image's root, or nothing
# LIGHT  file 9 is the user namespace in which systemd is to run; there are no instances
set -eu
image=$1 disk=$2 files=$3 name=$4 kvm=$5 programs=$6 layer=$7 light=$8

mount --make-rprivate /
mkdir -p "$disk"
cd "$disk"
if [ ! -d upper ]; then
    mkdir -p upper work root brick
    cp -a "$files/." upper/
    if [ -z "$light" ]; then
        mkdir -p upper/var/lib/hotfoot-lab
        cp "$image/guest/vmlinuz" "$image/guest/initramfs.gz" upper/var/lib/hotfoot-lab/
    fi
fi
mount -t overlay hotfoot -o "lowerdir=${layer:+$layer:}$image/root,upperdir=upper,workdir=work" root
cd root

mount -t proc proc proc
# vm.*, kernel.* and fs.* sysctls are the whole machine's; systemd-sysctl must not write them. net.* are the host's own.
mkdir -p run/net
mount --bind proc/sys/net run/net
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --move run/net proc/sys/net
if [ -e proc/sysrq-trigger ]; then
    mount --bind proc/sysrq-trigger proc/sysrq-trigger
    mount -o remount,bind,ro proc/sysrq-trigger
fi
mount --bind etc/hotfoot-lab/meminfo proc/meminfo
mount -t sysfs -o ro sysfs sys
if [ -f etc/hotfoot-lab/node-meminfo ]; then
    for node in sys/devices/system/node/node[0-9]*; do mount --bind etc/hotfoot-lab/node-meminfo "$node/meminfo"; done
fi
mount -t cgroup2 cgroup2 sys/fs/cgroup

# Never devtmpfs: there is one instance of it for the whole machine.
mount -t tmpfs -o mode=755,size=4m dev dev
node() { mknod -m 666 "dev/$1" c "$2" "$3"; }
node null 1 3; node zero 1 5; node full 1 7; node random 1 8; node urandom 1 9; node tty 5 0
node fuse 10 229
# Open to QEMU's user: post-copy then works without the machine-wide vm.unprivileged_userfaultfd.
node userfaultfd 10 257
mkdir dev/net dev/pts dev/shm
node net/tun 10 200
[ "$kvm" = yes ] && node kvm 10 232
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777,size=256m shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
: > dev/console

mount -t tmpfs -o mode=755 run run
mkdir -p srv/brick var/lib/nova/instances tmp/machine
mount --bind "$disk/brick" srv/brick
if [ -n "$programs" ]; then
    mkdir -p opt/openstack
    mount --bind "$programs" opt/openstack
    mount -o remount,bind,ro opt/openstack
fi
rm -f etc/libvirt/qemu/networks/autostart/*
hostname "$name"

# Only the links that the lab moves in here; systemd-networkd then finds them in place and needs no udev.
tries=0
until [ -d sys/class/net/eth0 ] && [ -d sys/class/net/eth1 ]; do
    tries=$((tries + 1))
    [ $tries -gt 1000 ] && exit 1
    sleep 0.01
done

# What only the host's own programs can do (users), once in its life.
if [ -f etc/hotfoot-lab/first-boot.sh ]; then
    chroot . sh /etc/hotfoot-lab/first-boot.sh >&2
    rm etc/hotfoot-lab/first-boot.sh
fi

pivot_root . tmp/machine
cd /
umount -l /tmp/machine
# As on a machine: services with mounts of their own (virtlogd) see storage that is mounted after they have started.
# Nova's instances log there; other labs do without.
if [ -n "$programs" ]; then mount --make-rshared /; fi
set -- env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
    /lib/systemd/systemd --log-target=journal --show-status=0
if [ -n "$light" ]; then set -- nsenter --user=/proc/self/fd/9 -- sh -c 'exec 9<&- && exec "$@"' sh "$@"; fi
exec "$@" </dev/null >/dev/null 2>&1
