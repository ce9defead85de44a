"""Waits until something listens: ``await_port.py ADDRESS PORT``."""

from __future__ import annotations

import socket
import sys
import time

PATIENCE_S = 120

address, port = sys.argv[1:]
end = time.monotonic() + PATIENCE_S
while True:
    try:
        socket.create_connection((address, int(port)), 1).close()
        break
    except OSError as error:
        if time.monotonic() > end:
            sys.exit(f"nothing listens on {address}:{port}: {error}")
        time.sleep(0.1)
