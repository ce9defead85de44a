#!/bin/sh
# The control plane of the lab's OpenStack, among the supervisor's mounts and processes:
# controller.sh IMAGE DISK FILES LOGS ADDRESS
# IMAGE  the cached root file system, read only     DISK     a folder of its own on the lab's tmpfs
# FILES  what goes over it                          LOGS     gets the services' logs
# It ends when the services have been started; whether they answer is for the caller to find out.
set -eu
image=$1 disk=$2 files=$3 logs=$4 address=$5

mkdir -p "$disk/upper" "$disk/work" "$disk/root" "$logs"
cd "$disk"
mount -t overlay hotfoot -o "lowerdir=$image,upperdir=upper,workdir=work" root
mount -t proc proc root/proc
mount -t tmpfs -o mode=755,size=4m dev root/dev
node() { mknod -m 666 "root/dev/$1" c "$2" "$3"; }
node null 1 3; node zero 1 5; node full 1 7; node random 1 8; node urandom 1 9
mkdir root/dev/shm
ln -s /proc/self/fd root/dev/fd
mount -t tmpfs -o mode=755 run root/run
mkdir -p root/run/lock root/var/log/openstack
mount --bind "$logs" root/var/log/openstack
cp -a "$files/." root/
chmod 700 root/etc/keystone/*-keys
ip address add "$address/24" dev mgmt

service() { chroot root sh /opt/openstack/lib/service.sh "$@"; }
service start mariadb
service start rabbitmq
chroot root env PYTHONPATH=/opt/openstack/python python3 /opt/openstack/lib/seed.py
for name in keystone placement glance neutron; do service start $name; done
# RabbitMQ, Keystone and Placement: Nova's services end, or wait for long, where one of these is not there yet.
for port in 5672 5000 8778; do chroot root python3 /opt/openstack/lib/await_port.py "$address" $port; done
for name in nova-conductor nova-scheduler nova-api; do service start $name; done
for name in $(cat root/etc/openstack/volume-services); do service start "$name"; done
: > "$files/../started"
