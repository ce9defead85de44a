"""BMCs of imaginary machines, each a process of its own that speaks the real protocol on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path

import bcrypt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hotfoot.cluster import Fence
from hotfoot.cluster.fence import Ipmi, Redfish
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.evacuation.fence import switch_off
from hotfoot.reach.certificates import issue, new_issuer, new_key, private_pem

HERE = Path(__file__).parent
USER, PASSWORD = "hotfoot", "blue horse 7"
SYSTEMS = ("11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002")


async def refusal(fence: Fence, who: str) -> str:
    """Return what is said where nothing proves that a host is off: by whom, and without the password."""
    with pytest.raises(HotfootError) as caught:
        await switch_off("n1", fence)
    assert caught.value.status is ExitStatus.REFUSED
    said = str(caught.value)
    assert said.startswith(f"Nothing proves that n1 is off: {who}")
    assert said.endswith("; nothing was started.")
    assert PASSWORD not in said
    return said


def password_file(folder: Path, password: str = PASSWORD) -> Path:
    file = folder / "password"
    file.write_text(f"{password}\n")
    file.chmod(0o600)
    return file


@dataclass(frozen=True)
class RedfishDouble:
    folder: Path
    address: str
    log: Path

    def fence(self, *, password: str = PASSWORD, timeout_ms: int = 60_000, **redfish: object) -> Fence:
        given: dict[str, object] = {"address": self.address, "user": USER, "ca_file": self.folder / "ca.pem", **redfish}
        file = password_file(self.folder, password)
        return Fence(redfish=Redfish(password_file=file, **given), timeout_ms=timeout_ms)  # type: ignore[arg-type]

    @property
    def orders(self) -> int:
        return self.log.read_text().count("Actions/ComputerSystem.Reset ")


@contextmanager
def redfish_double(
    folder: Path,
    behaviour: str = "obey",
    power: str = "On",
    systems: int = 1,
    name: str = "127.0.0.1",
    *,
    by_itself: bool = False,
) -> Iterator[RedfishDouble]:
    """``name``: whom its certificate vouches for; ``by_itself``: nobody else signed it, as with new BMCs."""
    issuer = new_issuer("BMCs of a test", 1, _key())
    certificate = _self_signed(name) if by_itself else issue(issuer, name, [name], 1, _key()).public
    (folder / "ca.pem").write_text(certificate if by_itself else issuer.pem)
    (folder / "cert.pem").write_text(certificate)
    (folder / "key.pem").write_text(private_pem(_key()))
    (folder / "users").write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
    machines = [{"uuid": uuid, "name": uuid[:4], "power_state": power, "nics": []} for uuid in SYSTEMS[:systems]]
    (folder / "config.py").write_text(
        f"SUSHY_EMULATOR_LISTEN_PORT = 0\nSUSHY_EMULATOR_AUTH_FILE = {str(folder / 'users')!r}\n"
        f"SUSHY_EMULATOR_STATE_DIR = {str(folder)!r}\nSUSHY_EMULATOR_FAKE_SYSTEMS = {json.dumps(machines)}\n"
    )
    words = ["config.py", "cert.pem", "key.pem", behaviour]
    log = folder / "log"
    with log.open("w") as file:
        service = subprocess.Popen(
            [sys.executable, str(HERE / "redfish_double.py"), *words], cwd=folder, stdout=file, stderr=file
        )
    try:
        yield RedfishDouble(folder, _address(service, log), log)
    finally:
        service.kill()
        service.wait()


@cache
def _key() -> RSAPrivateKey:
    """Make one key for authority and service: keys take long to make."""
    return new_key(2048)


def _self_signed(address: str) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, _key().public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .sign(_key(), hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode()


def _address(service: subprocess.Popen[bytes], log: Path) -> str:
    while "Running on " not in (text := log.read_text()):
        assert service.poll() is None, text
        time.sleep(0.05)
    return text.partition("Running on ")[2].split()[0]


@dataclass(frozen=True)
class IpmiDouble:
    folder: Path
    port: int
    log: Path
    process: int = 0

    def fence(self, *, password: str = PASSWORD, timeout_ms: int = 60_000, **ipmi: object) -> Fence:
        given: dict[str, object] = {"address": "127.0.0.1", "user": USER, "port": self.port, **ipmi}
        file = password_file(self.folder, password)
        return Fence(ipmi=Ipmi(password_file=file, **given), timeout_ms=timeout_ms)  # type: ignore[arg-type]

    @property
    def orders(self) -> int:
        return self.log.read_text().count("off\n")

    def wake(self) -> None:
        os.kill(self.process, signal.SIGCONT)


@contextmanager
def ipmi_double(
    folder: Path, behaviour: str = "obey", power: str = "on", *, asleep: bool = False
) -> Iterator[IpmiDouble]:
    log = folder / "log"
    with log.open("w") as file:
        service = subprocess.Popen(
            [sys.executable, str(HERE / "ipmi_double.py"), power, behaviour], stdout=file, stderr=file
        )
    try:
        while not log.read_text().endswith("\n"):
            assert service.poll() is None, log.read_text()
            time.sleep(0.05)
        if asleep:
            service.send_signal(signal.SIGSTOP)
        yield IpmiDouble(folder, int(log.read_text()), log, service.pid)
    finally:
        service.kill()
        service.wait()
