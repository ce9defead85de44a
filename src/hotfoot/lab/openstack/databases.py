"""Makes the databases of the lab's OpenStack, empty, once MariaDB answers."""

from __future__ import annotations

import sys
import time

import pymysql

NAMES = ("keystone", "placement", "glance", "neutron", "cinder", "nova_api", "nova_cell0", "nova_cell1")
PATIENCE_S = 60

end = time.monotonic() + PATIENCE_S
while True:
    try:
        connection = pymysql.connect(unix_socket="/run/mysql.sock", user="root")
        break
    except pymysql.Error as error:
        if time.monotonic() > end:
            sys.exit(f"MariaDB does not answer: {error}")
        time.sleep(0.1)
with connection.cursor() as cursor:
    for name in NAMES:
        cursor.execute(f"CREATE DATABASE {name}")
