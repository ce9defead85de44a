"""``hotfoot evacuate`` and ``definitions`` as a user types them, where no host has a libvirt that answers."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.evacuation.definitions import definition, uuid_of, xml_of

from hotfoot.cli.evacuate import Proof
from hotfoot.cluster import Cluster, Fence, Host
from hotfoot.errors import HotfootError
from hotfoot.journal.definitions import Definitions
from hotfoot.journal.place import Place
from hotfoot.journal.store import Store

CLUSTER = "name: rack1\nlibvirt: {transport: tcp, port: 1}\nhosts: [{name: n1, address: 127.0.0.1}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hotfoot.yaml").write_text(CLUSTER)
    store = Store(Place(file=tmp_path / "journal.sqlite3"))
    Definitions(store).keep("rack1", {"n1": (definition("vm1"),)}, 1000, whole=True)
    store.close()
    return tmp_path


def hotfoot(folder: Path, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", "from hotfoot.cli import main; main()", *words],
        capture_output=True, text=True, timeout=60, check=False, cwd=folder, stdin=subprocess.DEVNULL,
        env={**os.environ, "HOTFOOT_JOURNAL": f"sqlite:///{folder}/journal.sqlite3", "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_the_kept_definition_is_printed_by_name_and_by_uuid(folder: Path) -> None:
    assert hotfoot(folder, "definitions", "vm1").stdout.strip() == xml_of("vm1")
    found = json.loads(hotfoot(folder, "definitions", uuid_of("vm1"), "--json").stdout)
    assert (found["host"], found["running"], found["xml"]) == ("n1", True, xml_of("vm1"))
    assert "no definition of vm2" in hotfoot(folder, "definitions", "vm2", status=2).stderr


def test_a_look_at_silent_hosts_forgets_nothing(folder: Path) -> None:
    found = json.loads(hotfoot(folder, "definitions", "--json").stdout)
    assert [each["instance"] for each in found["definitions"]] == ["vm1"]
    assert {*found["unreachable"]} == {"n1"}


def test_a_host_whose_address_answers_is_not_evacuated(folder: Path) -> None:
    said = hotfoot(folder, "evacuate", "n1", "--fenced", "--yes", status=3).stderr
    assert "n1 still answers at 127.0.0.1" in said
    assert "switch it off first" in said


def test_a_host_that_nobody_declares_is_a_mistake_of_the_call(folder: Path) -> None:
    assert 'no host "n9"' in hotfoot(folder, "evacuate", "n9", "--yes", status=2).stderr
    assert 'no host "n9"' in hotfoot(folder, "evacuate", "n1", "--to", "n9", status=2).stderr


RACK = Cluster(
    fence=Fence(command=("fence", "{host}")), hosts=(Host(name="n1", address="10.0.0.1"), Host(name="n2", address="b"))
)


@pytest.mark.parametrize(("typed", "agreed"), [("n1\nn2\n", True), ("n1\nn1\n", False), ("y\n", False)])
def test_the_word_that_hosts_are_off_is_given_by_their_names(
    typed: str, agreed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert Proof(RACK, ("n1", "n2"), fenced=True, yes=False).agreed(2, terminal=True) is agreed


def test_off_a_terminal_nobody_can_give_it_but_by_yes() -> None:
    with pytest.raises(HotfootError, match="nobody can be asked"):
        Proof(RACK, ("n1",), fenced=True, yes=False).agreed(2, terminal=False)
    assert Proof(RACK, ("n1",), fenced=True, yes=True).agreed(2, terminal=False)


def test_without_a_fence_command_or_the_operators_word_nothing_proves_it() -> None:
    Proof(RACK, ("n1",), fenced=False, yes=True).check()
    unfenced = replace(RACK, fence=None)
    Proof(unfenced, ("n1",), fenced=True, yes=True).check()
    with pytest.raises(HotfootError, match="Nothing proves that n1 is off"):
        Proof(unfenced, ("n1",), fenced=False, yes=True).check()
