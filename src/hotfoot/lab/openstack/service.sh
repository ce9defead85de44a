#!/bin/sh
# One service of the lab's control plane, within its root: service.sh start|stop|status NAME
# start   returns when the process is there, not when it answers     stop  TERM, and after 5 s KILL
# status  prints up or down
set -eu
verb=$1 name=$2
address=$(cat /etc/openstack/address)
pid_file=/run/openstack/$name.pid

export HOME=/root LANG=C.UTF-8 PATH=/opt/openstack/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH=/opt/openstack/python
# MODULE PORT [PROCESSES]
serve() { set_command python3 /opt/openstack/lib/serve.py "$name" "$1" "$address" "$2" "${3:-1}"; }
set_command() { command=$(for word in "$@"; do printf '%s ' "$word"; done); }

case $name in
    mariadb) set_command mariadbd --defaults-file=/opt/openstack/lib/mariadb.cnf ;;
    rabbitmq)
        export RABBITMQ_NODENAME=rabbit@localhost RABBITMQ_CONFIG_FILE=/etc/rabbitmq/rabbitmq.conf
        export RABBITMQ_DIST_PORT=25672 ERL_EPMD_ADDRESS=127.0.0.1
        # One scheduler that does not spin: it shares two cores with everything else.
        export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none'
        set_command /usr/lib/rabbitmq/bin/rabbitmq-server ;;
    keystone) export OS_KEYSTONE_CONFIG_DIR=/etc/keystone; serve keystone.wsgi.api 5000 ;;
    placement) export OS_PLACEMENT_CONFIG_DIR=/etc/placement; serve placement.wsgi.api 8778 ;;
    glance) export OS_GLANCE_CONFIG_DIR=/etc/glance; serve glance.wsgi.api 9292 ;;
    neutron) export OS_NEUTRON_CONFIG_FILES=neutron.conf; serve neutron.wsgi.api 9696 ;;
    nova-api) serve nova.wsgi.osapi_compute 8774 2 ;;
    cinder-api) serve cinder.wsgi.api 8776 ;;
    nova-conductor | nova-scheduler | cinder-scheduler | cinder-volume) set_command "$name" ;;
    fake-hosts) set_command python3 /opt/openstack/python/fakecompute.py "$(cat /etc/openstack/fake-hosts)" ;;
    *) echo "there is no service $name" >&2; exit 2 ;;
esac

is_up() { [ -f "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null; }

case $verb in
    start)
        is_up && exit 0
        mkdir -p /run/openstack /run/lock
        # A session of its own, so that what it starts can be ended with it.
        # shellcheck disable=SC2086 # words without blanks
        setsid sh -c 'echo $$ > "$1"; shift; exec "$@"' sh "$pid_file" $command \
            </dev/null >>"/var/log/openstack/$name.out" 2>&1 &
        ;;
    stop)
        is_up || exit 0
        pid=$(cat "$pid_file")
        kill -TERM "-$pid"
        tries=0
        while kill -0 "-$pid" 2>/dev/null; do
            tries=$((tries + 1))
            [ $tries -gt 50 ] && kill -KILL "-$pid" 2>/dev/null
            sleep 0.1
        done
        rm -f "$pid_file"
        ;;
    status) if is_up; then echo up; else echo down; fi ;;
esac
