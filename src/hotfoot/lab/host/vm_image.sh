#!/bin/sh
# Makes a virtual machine's disk and initramfs, in a mount namespace of its own: vm_image.sh IMAGE WORK SIZE LAYER
# IMAGE  the cached image, read only
# WORK   holds kernel/ (unpacked), files.tar and initramfs/; gets disk.raw and initramfs.cpio
# LAYER  what lies above the image's root, or nothing
set -eu
image=$1 work=$2 size=$3 layer=$4

# Off the lower layer's own file system, and in memory: only what differs lies here.
mount -t tmpfs -o mode=755 hotfoot /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay hotfoot -o "lowerdir=${layer:+$layer:}$image/root,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
cd /mnt/root

rm -rf var/cache/apt/archives/*.deb etc/libvirt/qemu/networks/autostart/*
cp -a "$work/kernel/usr/lib/modules" usr/lib/
chroot . depmod "$(ls usr/lib/modules)"
mkdir -p srv/brick var/lib/nova/instances var/lib/hotfoot-lab
cp "$image/guest/vmlinuz" "$image/guest/initramfs.gz" var/lib/hotfoot-lab/
tar -x -p --no-overwrite-dir -f "$work/files.tar"
# A host that serves nothing runs no server; the one that does is told so by its lab.
chroot . systemctl --quiet disable nfs-server.service

cp usr/bin/busybox "$work/initramfs/bin/"
(cd "$work/initramfs" && find . | "$work/initramfs/bin/busybox" cpio -o -H newc) > "$work/initramfs.cpio"

truncate -s "$size" "$work/disk.raw"
# No pseudo file systems are mounted below, so the tree is exactly what the disk is to hold.
mkfs.ext4 -q -J size=16 -E lazy_itable_init=1 -d /mnt/root "$work/disk.raw"
