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
from tests.evacuation.bmcs import PASSWORD, ipmi_double, redfish_double
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


async def test_a_plan_says_whether_the_bmcs_could_switch_the_hosts_off(tmp_path: Path) -> None:
    for name in ("n1", "n2", "n3"):
        (tmp_path / name).mkdir()
    with redfish_double(tmp_path / "n1") as n1, ipmi_double(tmp_path / "n2", power="off") as n2:
        wrong = replace(n2, folder=tmp_path / "n3").fence(password="another")
        fences = (n1.fence(), n2.fence(), wrong, Fence(command=("off",)))
        rack = Cluster(
            hosts=tuple(Host(name=f"n{number}", address="a", fence=fence) for number, fence in enumerate(fences, 1))
        )
        proof = Proof(rack, ("n1", "n2", "n3", "n4"), fenced=False, yes=True)
        await proof.look()
        assert proof.in_doubt
        assert proof.sentences() == [
            f"n1 will be switched off first, by Redfish at {n1.address}, which says that the power is on.",
            f"n2 is off already, says IPMI at 127.0.0.1, port {n2.port}.",
            f"n3 cannot be switched off: IPMI at 127.0.0.1, port {n2.port} does not accept the user hotfoot with the"
            f" password in {tmp_path}/n3/password.",
            "n4 will be switched off first, by its fence command off.",
        ]
        assert proof.as_json() == {"n1": "redfish", "n2": "ipmi", "n3": "ipmi", "n4": "fence command"}
        looks = proof.looks()
        assert looks["n1"] == {"power": "on", "problem": None}
        assert looks["n2"] == {"power": "off", "problem": None}
        assert n1.orders == n2.orders == 0


async def test_the_operators_word_asks_no_bmc(tmp_path: Path) -> None:
    with ipmi_double(tmp_path) as bmc:
        rack = Cluster(hosts=(Host(name="n1", address="a", fence=bmc.fence()),))
        proof = Proof(rack, ("n1",), fenced=True, yes=True)
        await proof.look()
        await proof.establish()
        assert (proof.looks(), proof.in_doubt, bmc.orders) == ({}, False, 0)


async def test_what_proves_it_is_said_beside_the_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with redfish_double(tmp_path) as bmc:
        rack = Cluster(hosts=(Host(name="n1", address="a", fence=bmc.fence()),))
        await Proof(rack, ("n1",), fenced=False, yes=True).establish()
        assert capfd.readouterr() == ("", f"n1 is off, says Redfish at {bmc.address}.\n")


def test_a_dry_run_asks_the_bmc_and_tells_what_it_said(folder: Path) -> None:
    living = CLUSTER.removesuffix("}]\n")
    silent = living.replace("127.0.0.1", "n1.invalid")
    with ipmi_double(folder) as bmc:
        bmc.fence()  # writes the password
        way = f"ipmi: {{address: 127.0.0.1, port: {bmc.port}, user: hotfoot, password_file: password}}"
        (folder / "hotfoot.yaml").write_text(f"{silent}, fence: {{{way}}}}}]\n")
        done = hotfoot(folder, "evacuate", "n1", "--dry-run", "--json", status=3)  # no other host could take it
        found = json.loads(done.stdout)
        assert (found["proof"], found["bmcs"]) == ({"n1": "ipmi"}, {"n1": {"power": "on", "problem": None}})
        shown = hotfoot(folder, "evacuate", "n1", "--dry-run", status=3)
        assert f"by IPMI at 127.0.0.1, port {bmc.port}, which says that the power is on" in shown.stderr
        (folder / "hotfoot.yaml").write_text(f"{living}, fence: {{{way}}}}}]\n")
        alive = hotfoot(folder, "evacuate", "n1", "--dry-run", status=3)
        assert "which says that the power is on" in alive.stderr
        assert "n1 still answers at 127.0.0.1" in alive.stderr
        assert PASSWORD not in str((done, shown, alive))
        assert bmc.orders == 0


def test_what_a_library_would_log_is_not_printed(folder: Path) -> None:
    with redfish_double(folder) as bmc:
        bmc.fence()  # writes the password
        way = f"redfish: {{address: '{bmc.address}', user: nobody, password_file: password, ca_file: ca.pem}}"
        (folder / "hotfoot.yaml").write_text(CLUSTER.replace("}]", f", fence: {{{way}}}}}]"))
        said = hotfoot(folder, "evacuate", "n1", "--dry-run", status=3).stderr.splitlines()
        assert [line.partition(":")[0] for line in said] == ["n1 cannot be switched off", "hotfoot"]


def test_no_library_of_a_fence_is_imported_before_a_bmc_is_asked() -> None:
    heavy = "{'sushy', 'pyghmi', 'requests'}"
    code = f"import sys, hotfoot.cli.evacuate, hotfoot.evacuation.fence; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "[]\n"
