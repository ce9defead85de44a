"""A keyring of Ceph as a host is given it: the key comes with the order, the ledger remembers none of it."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from hotfoot.prepare.on_host import files, keys
from hotfoot.prepare.on_host.ledger import Ledger
from hotfoot.reach.secret_file import secret_value
from hotfoot.readiness.change import PutKeyring

KEY = base64.b64encode(bytes(range(28))).decode()


@pytest.fixture
def order(tmp_path: Path) -> dict[str, Any]:
    source = tmp_path / "controller.keyring"
    source.write_text(f'[client.admin]\n\tkey = AAAA\n[client.nova]\n\tkey = {KEY}\n\tcaps mon = "profile rbd"\n')
    source.chmod(0o600)
    owner = f"{os.getuid()}:{os.getgid()}"
    path = tmp_path / "host" / "ceph.client.nova.keyring"
    step = PutKeyring(path=str(path), file=str(source), entity="client.nova", owner=owner)
    return {"step": step.model_dump(mode="json"), "secret": base64.b64encode(secret_value(step)).decode()}


def test_a_keyring_holds_the_one_key_and_is_taken_back(order: dict[str, Any], tmp_path: Path) -> None:
    ledger = Ledger("r1", str(tmp_path / "home"))
    ledger.open()
    ledger.at_step(0, 60, "keyring")
    keys.put_keyring(ledger, order)
    path = Path(order["step"]["path"])
    assert path.read_text() == f"[client.nova]\n\tkey = {KEY}\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert all(KEY.encode() not in file.read_bytes() for file in (tmp_path / "home").rglob("*") if file.is_file())

    begun = ledger.begun
    keys.put_keyring(ledger, order)
    assert ledger.begun == begun

    (act,) = (each for each in ledger.acts() if each["act"] == "file")
    assert files.take_back(ledger, act, False) is None
    assert not path.exists()
