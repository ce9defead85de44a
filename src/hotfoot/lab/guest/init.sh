#!/bin/busybox sh
# First process of a lab guest: drivers, address, disk; then the witness takes its place.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done < /modules/order
for word in $(cat /proc/cmdline); do
    case $word in
        hotfoot.address=*) address=${word#*=} ;;
        hotfoot.rate=*) rate=${word#*=} ;;
        hotfoot.area=*) area=${word#*=} ;;
        hotfoot.pattern=*) pattern=${word#*=} ;;
    esac
done
ip link set lo up
ip addr add "$address" dev eth0
ip link set eth0 up
# Without this wait a write to /dev/vda would make a plain file, and the disk test would pass without a disk.
tries=0
until [ -b /dev/vda ]; do
    tries=$((tries + 1))
    [ $tries -gt 100 ] && { echo "hotfoot: no disk /dev/vda"; break; }
    sleep 0.1
done
exec /bin/witness "${rate:-0}" "${area:-16}" "${pattern:-circle}"
