"""pyghmi's own IPMI service on loopback, before a machine that exists in its memory alone.

A program: ``ipmi_double.py POWER BEHAVIOUR``; prints its port, then each order.
"""

from __future__ import annotations

import sys
from typing import Any

from pyghmi.ipmi import bmc
from pyghmi.ipmi.private.serversession import ServerSession

USER, PASSWORD = "hotfoot", "blue horse 7"
_SHA1 = 1
_INVALID_AUTHENTICATION = 4
_open_session = ServerSession.create_open_session_response


def open_session(session: Any, request: bytearray) -> bytearray:
    """Refuse SHA-256, as a BMC must that does not have it; pyghmi's service goes on with SHA-1 as if it were asked."""
    if request[12] == _SHA1:
        answer: bytearray = _open_session(session, request)
        return answer
    return bytearray([request[0], _INVALID_AUTHENTICATION, 0, 0]) + request[4:8]


class ImaginaryMachine(bmc.Bmc):  # type: ignore[misc]
    def __init__(self, power: str, behaviour: str) -> None:
        super().__init__({USER: PASSWORD}, port=0, address="127.0.0.1")
        self.port = self.serversocket.getsockname()[1]
        self._power = power
        self._behaviour = behaviour

    def get_power_state(self) -> str:
        return self._power

    def power_off(self) -> int:
        print("off", flush=True)
        if self._behaviour == "refuse":
            return 0xD4  # insufficient privilege
        if self._behaviour == "obey":
            self._power = "off"
        return 0


if __name__ == "__main__":
    ServerSession.create_open_session_response = open_session
    machine = ImaginaryMachine(*sys.argv[1:])
    print(machine.port, flush=True)
    machine.listen()
