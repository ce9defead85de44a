#!/bin/sh
# Makes the databases of the lab's OpenStack, with nothing in them but its tables, roles and two users: build.sh ROOT
# ROOT  the root file system, with /opt/openstack and the services' /etc; gets /var/lib/mysql and compiled Python
# In mount and PID namespaces of its own.
set -eu
cd "$1"

mount -t proc proc proc
mount -t tmpfs -o mode=755,size=4m dev dev
node() { mknod -m 666 "dev/$1" c "$2" "$3"; }
node null 1 3; node zero 1 5; node full 1 7; node random 1 8; node urandom 1 9
mkdir dev/shm
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=755 log var/log
mkdir -p run/lock var/log/openstack

inside() {
    chroot . env -i HOME=/root LANG=C.UTF-8 PATH=/opt/openstack/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        PYTHONPATH=/opt/openstack/python "$@"
}

# Tests are never run here, and some of them are no Python that compiles.
inside python3 -m compileall -q -j 2 -x '/tests/' /opt/openstack/python &
compiling=$!

rm -rf var/lib/mysql
mkdir var/lib/mysql
inside mariadb-install-db --defaults-file=/opt/openstack/lib/mariadb.cnf --user=root \
    --auth-root-authentication-method=normal --skip-test-db
inside mariadbd --defaults-file=/opt/openstack/lib/mariadb.cnf &
inside python3 /opt/openstack/lib/databases.py

identity() {
    inside keystone-manage db_sync
    # Users without a password that anybody knows; each lab sets its own.
    for who in admin:admin:admin openstack:service:admin openstack:service:service; do
        user=${who%%:*} role=${who##*:} project=${who#*:}
        inside OS_BOOTSTRAP_PASSWORD="$(cat /proc/sys/kernel/random/uuid)" keystone-manage bootstrap \
            --bootstrap-username "$user" --bootstrap-project-name "${project%%:*}" \
            --bootstrap-role-name "$role" --bootstrap-region-id RegionOne
    done
    inside placement-manage db sync
    inside glance-manage db_sync
    inside neutron-db-manage upgrade head
}
compute() {
    inside nova-manage api_db sync
    inside nova-manage cell_v2 map_cell0 --database_connection '{scheme}://{username}@{hostname}/nova_cell0?{query}'
    # Templates, filled from nova.conf: each lab has its own address and password.
    inside nova-manage cell_v2 create_cell --name cell1 \
        --database_connection '{scheme}://{username}@{hostname}/nova_cell1?{query}' \
        --transport-url '{scheme}://{username}:{password}@{hostname}:{port}/{path}'
    inside nova-manage db sync
    inside cinder-manage db sync
}
identity & identity=$!
compute & compute=$!
wait $identity
wait $compute
wait $compiling
# It writes all that it holds before it ends, and removes this file last.
kill "$(cat run/mysqld.pid)"
while [ -e run/mysqld.pid ]; do sleep 0.1; done
rm -rf root/.cache
