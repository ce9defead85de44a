"""sushy-tools' Redfish service over TLS, before machines that exist in its memory alone.

A program: ``redfish_double.py CONFIG CERTIFICATE KEY BEHAVIOUR``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from sushy_tools.emulator import main
from sushy_tools.emulator.resources.systems.fakedriver import FakeDriver


def obey(driver: Any, identity: str, _state: str) -> None:
    driver._update(identity, power_state="Off")


def ignore(driver: Any, identity: str, state: str) -> None:
    """Take the order, and stay on."""


def obey_without_a_word(driver: Any, identity: str, state: str) -> None:
    obey(driver, identity, state)
    raise RuntimeError("the answer is lost")


def obey_with_a_real_host(driver: Any, identity: str, state: str) -> None:
    """End a host of the lab: the order that this machine's power comes from is in the environment, as JSON."""
    subprocess.run(json.loads(os.environ["POWER_OFF"]), check=True, stdout=subprocess.DEVNULL)
    obey(driver, identity, state)


def die(driver: Any, identity: str, state: str) -> None:
    os._exit(0)


if __name__ == "__main__":
    config, certificate, key, behaviour = sys.argv[1:]
    FakeDriver.set_power_state = globals()[behaviour]
    sys.argv[1:] = ["--fake", "--config", config, "--ssl-certificate", certificate, "--ssl-key", key]
    sys.argv += ["--interface", "127.0.0.1"]
    main.main()
