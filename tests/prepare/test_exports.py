"""A plan as script and as playbook: both are run, or checked by their own programs, and hold no secret."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from hotfoot.prepare.export_ansible import ansible
from hotfoot.prepare.export_shell import shell
from hotfoot.readiness.change import (
    AlignIds,
    Change,
    CloseFirewall,
    Command,
    EditFile,
    Install,
    MakeCertificate,
    MakeFolder,
    MakeSshKey,
    Mount,
    MoveData,
    Phase,
    PutFile,
    Refresh,
    RemoveFile,
    SetMode,
    SetUnit,
    Step,
)
from hotfoot.readiness.edit import EnsureLine, RemoveKey, RemoveLines, SetKey
from hotfoot.readiness.facts import Facts, HostFacts, Text
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.plan import Plan, plan

HOSTS = ("n1", "n2")
EDITS = (
    SetKey(key="user", value='"it\'s"'),
    SetKey(section="libvirt", key="cpu_mode", value="custom"),
    RemoveKey(section="libvirt", key="live_migration_flag"),
    RemoveKey(key="listen_tcp"),
    EnsureLine(line="10.0.0.1 n1", instead_of=r"\sn1$"),
    RemoveLines(matching="^127.0.1.1"),
)
STEPS: tuple[tuple[Phase, Step], ...] = (
    (Phase.PACKAGES, Install(packages=("nfs-common",))),
    (Phase.IDENTITY, AlignIds(users={"nova": 511, "libvirt-qemu": 512}, groups={"nova": 511})),
    (Phase.KEYS, MakeSshKey(user="nova", path="/var/lib/nova/.ssh/id_ed25519")),
    (Phase.KEYS, CloseFirewall(path="/etc/rules.nft", table="mine", mark="mine 1")),
    (Phase.TRUST, PutFile(path="/k", content="{{public-key:n1}}\n{{public-key:n2}}\n", mode=0o600, owner="nova:nova")),
    (Phase.TRUST, MakeCertificate(place="libvirt", names=("n1",))),
    (Phase.STORAGE, MakeFolder(path="/srv/x", owner="nova:nova")),
    (Phase.STORAGE, Mount(path="/srv/x", again=True)),
    (Phase.STORAGE, MoveData(path="/srv/y", source="n1:/srv/it's", keep="/srv/y.before")),
    (Phase.STORAGE, SetMode(path="/srv/x", mode=0o750, owner="nova:nova")),
    (Phase.STORAGE, RemoveFile(path="/gone")),
    (Phase.STORAGE, Command(title="meet", argv=("a", "b c"), done_if=("true",), patience_s=5)),
    (Phase.LIBVIRT, EditFile(path="/ini", edits=(EDITS[1], EDITS[2]))),
    (Phase.LIBVIRT, EditFile(path="/bare", edits=(EDITS[0], EDITS[3]))),
    (Phase.LIBVIRT, EditFile(path="/hosts", edits=EDITS[4:])),
    (Phase.LIBVIRT, EditFile(path="/secret", edits=(SetKey(section="libvirt", key="a", value="b"),))),
    (Phase.LIBVIRT, SetUnit(unit="libvirtd-tls.socket", enabled=True, running=True, masked=False)),
    (Phase.LIBVIRT, Refresh(unit="libvirtd.service")),
    (Phase.LIBVIRT, Refresh(unit="ssh.service", how="reload")),
)
TEXTS = {
    "/ini": "[libvirt]\nlive_migration_flag = X\n",
    "/bare": "listen_tcp = 1\n#user = 'x'\n",
    "/hosts": "127.0.1.1 n1\n10.9.9.9 n1\n",
    "/secret": "[DEFAULT]\ntransport_url = rabbit://u:@secret:0@@c\n[libvirt]\n",
    "/gone": "x\n",
}


def a_plan(*steps: tuple[Phase, Step], texts: dict[str, str] | None = None, hosts: tuple[str, ...] = HOSTS) -> Plan:
    files = {
        path: Text(path=path, exists=True, content=text, sha256=hashlib.sha256(text.encode()).hexdigest(), mode=0o644)
        for path, text in (TEXTS if texts is None else texts).items()
    }
    found = [
        Finding(
            code="names.wrong",
            severity=Severity.BLOCKS,
            host=host,
            what="",
            evidence="",
            why="",
            remedy="",
            changes=tuple(Change(host=host, phase=phase, step=step) for phase, step in steps),
        )
        for host in hosts
    ]
    return plan(found, Facts(hosts=tuple(HostFacts(host=host, files=files) for host in hosts)))


def test_the_script_is_posix_shell_and_the_playbook_is_yaml(tmp_path: Path) -> None:
    script = shell(a_plan(*STEPS))
    file = tmp_path / "ready.sh"
    file.write_text(script)
    done = subprocess.run(["sh", "-n", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "set -eu" in script
    assert "\nnft -f /etc/rules.nft\n" in script
    plays = YAML(typ="safe").load(ansible(a_plan(*STEPS)))
    assert [play["hosts"] for play in plays] == ["n1,n2"] * 6
    assert all(play["become"] for play in plays)


def test_no_mark_of_a_secret_gets_into_either() -> None:
    exported = a_plan(*STEPS)
    assert "@secret:" not in ansible(exported)
    runnable = [line for line in shell(exported).splitlines() if not line.startswith("#")]
    assert not any("@secret:" in line for line in runnable)


def test_a_task_that_is_the_same_on_all_hosts_stands_there_once() -> None:
    plays = YAML(typ="safe").load(ansible(a_plan((Phase.PACKAGES, Install(packages=("nfs-common",))))))
    assert len(plays[0]["tasks"]) == 1
    assert "when" not in plays[0]["tasks"][0]


def test_the_playbook_takes_keys_from_where_they_were_made() -> None:
    tasks = [task for play in YAML(typ="safe").load(ansible(a_plan(*STEPS))) for task in play["tasks"]]
    copied = next(task["ansible.builtin.copy"] for task in tasks if "ansible.builtin.copy" in task)
    assert '{{ hostvars["n1"].hotfoot_public_key.stdout }}' in copied["content"]
    assert copied["mode"] == "0600"


def test_data_is_moved_by_a_script_that_compares_and_no_step_is_left_to_do() -> None:
    moved = a_plan((Phase.STORAGE, MoveData(path="/srv/y", source="n1:/srv/it's", keep="/srv/y.before")))
    (play,) = YAML(typ="safe").load(ansible(moved))
    (task,) = play["tasks"]
    script = task["ansible.builtin.shell"]
    assert script.startswith("set -- /srv/y 'n1:/srv/it'\"'\"'s' /srv/y.before\n")
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0
    assert script in shell(moved)
    assert "todo 'move" not in shell(moved)


def test_the_folder_of_a_first_drop_in_is_made(tmp_path: Path) -> None:
    path = tmp_path / "x.service.d" / "10.conf"
    step = PutFile(path=str(path), content="[Unit]\n", owner=f"{os.getuid()}:{os.getgid()}")
    exported = a_plan((Phase.STORAGE, step), hosts=("n1",))
    (play,) = YAML(typ="safe").load(ansible(exported))
    assert play["tasks"][0]["ansible.builtin.file"] == {"path": str(path.parent), "state": "directory"}
    script = tmp_path / "ready.sh"
    script.write_text(shell(exported))
    assert _ran(script, "n1").returncode == 0
    assert path.read_text() == "[Unit]\n"


def test_text_that_looks_like_a_template_stays_text() -> None:
    step = PutFile(path="/x", content="a {{ b }}\n")
    (play,) = YAML(typ="safe").load(ansible(a_plan((Phase.LIBVIRT, step))))
    assert play["tasks"][0]["ansible.builtin.copy"]["content"] == "{% raw %}a {{ b }}\n{% endraw %}"


def _ran(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", str(script), *words], capture_output=True, text=True, check=False)


def test_the_script_writes_files_once_and_refuses_those_that_changed_meanwhile(tmp_path: Path) -> None:
    path, other = tmp_path / "conf 'x'", tmp_path / "new"
    text = "# keep\nlisten_tcp = 1\n"
    path.write_text(text)
    path.chmod(0o640)
    steps: tuple[tuple[Phase, Step], ...] = (
        (Phase.LIBVIRT, EditFile(path=str(path), edits=(EDITS[0], EDITS[3]))),
        (Phase.LIBVIRT, PutFile(path=str(other), content="a'b\\n\n", mode=0o600, owner=f"{os.getuid()}:{os.getgid()}")),
    )
    script = tmp_path / "ready.sh"
    script.write_text(shell(a_plan(*steps, texts={str(path): text}, hosts=("n1",))))
    first = _ran(script, "n1", "70")
    assert (first.returncode, first.stderr) == (0, "")
    assert path.read_text() == '# keep\nuser = "it\'s"\n'
    assert path.stat().st_mode & 0o777 == 0o640
    assert other.read_text() == "a'b\\n\n"
    assert other.stat().st_mode & 0o777 == 0o600
    assert "write" in first.stdout
    again = _ran(script, "n1", "70")
    assert (again.returncode, again.stdout) == (0, "")
    path.write_text("changed\n")
    refused = _ran(script, "n1", "70")
    assert refused.returncode == 1
    assert "changed since" in refused.stderr
    assert _ran(script, "n9").returncode == 2
    assert _ran(script, "n1", "60").stdout == ""


@pytest.mark.skipif(shutil.which("ansible-playbook") is None, reason="this machine has no ansible-playbook")
def test_ansible_accepts_the_playbook(tmp_path: Path) -> None:
    file, inventory = tmp_path / "ready.yaml", tmp_path / "inventory"
    file.write_text(ansible(a_plan(*(pair for pair in STEPS if not _needs_collection(pair[1])))))
    inventory.write_text("n1\nn2\n")
    argv: list[Any] = ["ansible-playbook", "--syntax-check", "-i", inventory, file]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _needs_collection(step: Step) -> bool:
    return isinstance(step, EditFile) and any(getattr(edit, "section", None) for edit in step.edits)
