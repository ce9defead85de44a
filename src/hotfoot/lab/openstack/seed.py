"""Makes the cached databases one lab's own: passwords, and where its services answer. It may be repeated.

Reads /etc/openstack/seed.json: ``passwords`` by user, ``endpoints`` as [name, type, URL] each.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from pathlib import Path

import bcrypt
import pymysql

PATIENCE_S = 60

end = time.monotonic() + PATIENCE_S
while True:
    try:
        connection = pymysql.connect(unix_socket="/run/mysql.sock", user="root", database="keystone", autocommit=True)
        break
    except pymysql.Error as error:
        if time.monotonic() > end:
            sys.exit(f"MariaDB does not answer: {error}")
        time.sleep(0.1)
wanted = json.loads(Path("/etc/openstack/seed.json").read_text())
with connection.cursor() as cursor:
    for user, password in wanted["passwords"].items():
        # As keystone.conf has it: bcrypt, and the least rounds, since a lab's password is random and lives short.
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=4)).decode()
        cursor.execute(
            "UPDATE password SET password_hash = %s WHERE local_user_id = (SELECT id FROM local_user WHERE name = %s)",
            (hashed, user),
        )
    cursor.execute("DELETE FROM endpoint")
    cursor.execute("DELETE FROM service")
    for name, kind, url in wanted["endpoints"]:
        service = uuid.uuid4().hex
        cursor.execute(
            "INSERT INTO service (id, type, enabled, extra) VALUES (%s, %s, 1, %s)",
            (service, kind, json.dumps({"name": name})),
        )
        for interface in ("public", "internal", "admin"):
            cursor.execute(
                "INSERT INTO endpoint (id, interface, service_id, region_id, url, enabled, extra)"
                " VALUES (%s, %s, %s, 'RegionOne', %s, 1, '{}')",
                (uuid.uuid4().hex, interface, service, url),
            )
