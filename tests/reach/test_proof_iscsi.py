"""A host's login to an iSCSI target, against answers that tgt 1.0.85 gave: a double that replays them, and checks CHAP.

A real target is in tests/lab.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hotfoot.reach.proof import iscsi

from .conftest import free_port

TARGET = "iqn.2020-01.org.hotfoot:lab"
SETTLED = (
    "2300000000000027802cd9a48f6100000000000000000000000000000000000100000002000000000000000000000000546172676574506f7274"
    "616c47726f75705461673d3100417574684d6574686f643d434841500000",
    "2300000000000080802cd9a48f6100000000000000000000000000010000000100000002000000000000000000000000434841505f413d350043"
    "4841505f493d3400434841505f433d3078623563343032653261313730373366653863373734323036383039383262633838663662633837366632"
    "6132646662303130636164316230666238356437373834346531616465303731303063626632333335643334376462636662323435613534343700",
)


def inquired(number: int) -> str:
    """The answer to INQUIRY of page 83h: LUN 0 is the target's controller, the others are disks."""
    head = f"258300000000004c00000000000000000000000{number + 2}ffffffff0000000{number + 5}0000000{number + 3}"
    rest = f"0000008{number + 3}000000000000000000000{'3b40c' if number == 0 else '3b400'}8300480201002449455420202020"
    name = f"2030303031303030{30 + number}{'00' * 20}0103000830000001{number:08x}"
    return f"{head}{rest}{name}0103001060000000000000000e0000000001000{number}"


LET_IN = (
    "2381000000000000802cd9a48f6100000000000000000000000000020000000100000002000000000000000000000000",
    "2387000000000022802cd9a48f61040000000000000000000000000300000001000000020000000000000000000000004865616465724469676573"
    "743d4e6f6e6500446174614469676573743d4e6f6e65000000",
    "2583000000000020000000000000000000000001ffffffff000000040000000200000082000000000000000000000fe800000018000000000000"
    "00000000000000010000000000000002000000000000",
    *(inquired(number) for number in (0, 1, 2)),
)
REFUSED = "230000000000000000000000000000000000000000000000000000000000000000000000020100000000000000000000"
CHALLENGE = "b5c402e2a17073fe8c77420680982bc88f6bc876f2a2dfb010cad1b0fb85d77844e1ade07100cbf2335d347dbcfb245a5447"


class ReplayingTarget:
    """Answers request by request with what it is given, then hangs up; keeps the keys that it was told."""

    def __init__(self, answers: list[bytes]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.portal = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.told: dict[str, str] = {}
        self._answers = answers
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rb") as requests:
            while len(head := requests.read(48)) == 48:
                length = int.from_bytes(head[5:8], "big")
                text = requests.read(length + -length % 4)[:length].decode()
                self.told |= {key: value for key, _, value in (part.partition("=") for part in text.split("\0"))}
                connection.sendall(self._answers.pop(0))
                if not self._answers:
                    return


@contextmanager
def target(*answers: str) -> Iterator[ReplayingTarget]:
    double = ReplayingTarget([bytes.fromhex(answer) for answer in answers])
    with double.listener:
        yield double


def asked(portal: str, **more: str) -> dict[str, str]:
    return {"portal": portal, "target": TARGET, "user": "hotfoot", "password": "geheim", "secret": ""} | more


def test_the_disks_of_a_target_are_told_by_number_and_name_and_its_controller_is_none() -> None:
    with target(*SETTLED, *LET_IN) as double:
        told = iscsi.target_seen(asked(double.portal))
    assert told["problem"] == ""
    assert told["luns"] == {
        "1": "naa.60000000000000000e00000000010001",
        "2": "naa.60000000000000000e00000000010002",
    }


def test_the_password_is_proved_and_never_told() -> None:
    with target(*SETTLED, *LET_IN) as double:
        iscsi.target_seen(asked(double.portal))
    right = hashlib.md5(b"\x04geheim" + bytes.fromhex(CHALLENGE)).hexdigest()
    assert (double.told["CHAP_N"], double.told["CHAP_R"]) == ("hotfoot", f"0x{right}")
    assert "geheim" not in str(double.told)


def test_a_wrong_password_is_named_as_instances_logs_name_it() -> None:
    with target(*SETTLED, REFUSED) as double:
        told = iscsi.target_seen(asked(double.portal))
    assert told["status"] == 513
    assert told["problem"] == "Failed to log in to target. Status: Authentication failure(513)"


def test_a_target_that_is_not_there() -> None:
    portal = f"127.0.0.1:{free_port()}"
    told = iscsi.target_seen(asked(portal))
    assert (told["status"], told["problem"]) == (0, f"{portal}: Connection refused")


@pytest.mark.parametrize("answer", ["48545450" * 12, "3f" * 48, LET_IN[2]])
def test_what_is_no_target_is_a_sentence_and_no_crash(answer: str) -> None:
    with target(answer) as double:
        told = iscsi.target_seen(asked(double.portal))
    assert told["problem"]
    assert told["luns"] == {}


def test_a_target_may_send_to_another_portal() -> None:
    with target(*SETTLED, *LET_IN) as second:
        text = f"TargetAddress={second.portal},1\0".encode()
        text += bytes(-len(text) % 4)
        head = bytes.fromhex("23000000") + len(text).to_bytes(4, "big") + bytes(28) + b"\x01\x01" + bytes(10)
        with target((head + text).hex()) as first:
            told = iscsi.target_seen(asked(first.portal))
    assert list(told["luns"]) == ["1", "2"]


@pytest.mark.parametrize(
    ("address", "portal"),
    [
        ("10.0.0.9:3261,1", "10.0.0.9:3261"),
        ("10.0.0.9,1", "10.0.0.9:3260"),
        ("[fd00::1]:3261,2", "[fd00::1]:3261"),
        ("[fd00::1]", "[fd00::1]:3260"),
    ],
)
def test_addresses_of_portals(address: str, portal: str) -> None:
    assert iscsi._portal_of(address) == portal


def test_whether_libvirt_s_secret_is_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iscsi, "_SECRETS", str(tmp_path))
    assert iscsi._held("u", "geheim") == "missing"
    (tmp_path / "u.xml").write_text("<secret/>")
    assert iscsi._held("u", "geheim") == "other"
    (tmp_path / "u.base64").write_bytes(base64.b64encode(b"geheim"))
    assert iscsi._held("u", "geheim") == "same"
    assert iscsi._held("u", "other") == "other"
