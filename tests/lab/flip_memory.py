"""Runs on a lab host: find a page of the witness in a guest's physical memory, and flip one bit of it.

Usage: flip_memory.py INSTANCE. Speaks to QEMU's debugger port, which writes physical memory on request.
"""

import os
import re
import socket
import struct
import subprocess
import sys

NAME, PORT, PAGE = sys.argv[1], 12345, 4096


def monitor(line: str) -> str:
    return subprocess.run(
        ["virsh", "qemu-monitor-command", NAME, "--hmp", line], capture_output=True, text=True, check=True
    ).stdout


def packet(connection: socket.socket, text: str) -> str:
    connection.sendall(f"${text}#{sum(text.encode()) % 256:02x}".encode())
    got = b""
    while (answer := re.search(rb"\$([^#]*)#..", got)) is None:
        got += connection.recv(4096)
    connection.sendall(b"+")
    return answer[1].decode()


def pattern(number: int) -> bytes:
    """The witness's page of generation 0, as guest/witness.c fills it."""
    x = number * 0x9E3779B97F4A7C15 % 2**64
    seed = x ^ x >> 29
    return struct.pack("<512Q", 0, *((seed + i * 0x100000001B3) % 2**64 for i in range(1, 512)))


dump = "/var/lib/libvirt/qemu/memory.dump"
monitor(f'pmemsave 0 134217728 "{dump}"')
with open(dump, "rb") as file:
    memory = file.read()
os.unlink(dump)
address = memory.find(pattern(77))
assert address > 0, "no page of the witness found"
assert address % PAGE == 0
monitor(f"gdbserver tcp:127.0.0.1:{PORT}")
with socket.create_connection(("127.0.0.1", PORT), 10) as connection:
    packet(connection, "?")
    assert packet(connection, "Qqemu.PhyMemMode:1") == "OK"
    where = address + 64
    assert packet(connection, f"M{where:x},1:{memory[where] ^ 1:02x}") == "OK"
    packet(connection, "D")
monitor("gdbserver none")
print("flipped")
