"""Facts over a real sshd; what a host answers instead is made by commands forced on a key."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from hotfoot.cluster.validation import cluster_from
from hotfoot.errors import HotfootError
from hotfoot.reach.facts import compared, facts_of
from hotfoot.reach.ssh import SshAccess, prepare
from hotfoot.readiness.facts import HostFacts
from hotfoot.readiness.wanted import Wanted

from .conftest import Sshd, free_port, make_key

AS_ASKED = 'eval "$SSH_ORIGINAL_COMMAND"'


def host(sshd: Sshd, name: str, address: str = "127.0.0.1", **ssh: Any) -> dict[str, Any]:
    own = {"user": sshd.user, "port": sshd.port, "key": str(sshd.key), "known_hosts": str(sshd.known_hosts)}
    return {"name": name, "address": address, "ssh": own | ssh}


def forced(sshd: Sshd, folder: Path, command: str) -> str:
    """A key with which a login runs this command, whatever was asked for."""
    key = make_key(folder / "forced")
    quoted = command.replace('"', '\\"')
    with (sshd.folder / "authorized_keys").open("a") as file:
        file.write(f'command="{quoted}" {key.with_suffix(".pub").read_text()}')
    return str(key)


def access(folder: Path, *hosts: dict[str, Any]) -> SshAccess:
    return prepare(cluster_from({"hosts": list(hosts)}), folder)


async def reason(sshd: Sshd, folder: Path, command: str) -> str:
    reach = access(folder, host(sshd, "n1", key=forced(sshd, folder, command)))
    facts = await facts_of(reach, reach.cluster, Wanted())
    assert facts.hosts == ()
    assert [silent.host for silent in facts.silent] == ["n1"]
    return facts.silent[0].reason


async def test_hosts_that_answer_and_one_that_does_not(sshd: Sshd, tmp_path: Path) -> None:
    port = free_port()
    reach = access(tmp_path, host(sshd, "n2"), host(sshd, "n3", "127.0.0.3", port=port), host(sshd, "n1"))
    facts = await facts_of(reach, reach.cluster, Wanted(files=("/etc/passwd",), names=("localhost",)))
    assert [each.host for each in facts.hosts] == ["n2", "n1"]
    assert [each.host for each in facts.silent] == ["n3"]
    assert facts.silent[0].reason.startswith(f"host n3 (127.0.0.3) refuses connections at port {port}")
    assert facts.by_name["n1"].files["/etc/passwd"].exists


async def test_only_some_hosts(sshd: Sshd, tmp_path: Path) -> None:
    reach = access(tmp_path, host(sshd, "n1"), host(sshd, "n2"))
    facts = await facts_of(reach, reach.cluster, Wanted(), ["n2"])
    assert [each.host for each in facts.hosts] == ["n2"]
    with pytest.raises(HotfootError, match='no host "n9"'):
        await facts_of(reach, reach.cluster, Wanted(), ["n9"])


async def test_the_clock_is_compared(sshd: Sshd, tmp_path: Path) -> None:
    reach = access(tmp_path, host(sshd, "n1"))
    clock = (await facts_of(reach, reach.cluster, Wanted())).hosts[0].clock
    assert clock is not None
    assert clock.offset_s is not None
    assert abs(clock.offset_s) <= clock.uncertainty_s < 10


def test_an_offset_is_wrong_by_its_uncertainty_at_most() -> None:
    told = HostFacts.model_validate({"host": "n1", "elapsed_s": 0.5, "clock": {"now_s": 1100.0}})
    clock = compared(told, sent_s=1000.0, received_s=1001.5).clock
    assert clock is not None
    # The host took its time between 1000.5 and 1001.5 of the controller's.
    assert (clock.offset_s, clock.uncertainty_s) == (99.0, 0.5)


def test_a_controller_whose_clock_was_set_back_meanwhile() -> None:
    told = HostFacts.model_validate({"host": "n1", "elapsed_s": 0.5, "clock": {"now_s": 1000.0}})
    clock = compared(told, sent_s=1001.0, received_s=1000.0).clock
    assert clock is not None
    assert clock.uncertainty_s == 0.0


async def test_what_a_shell_prints_before_is_passed_over(sshd: Sshd, tmp_path: Path) -> None:
    reach = access(tmp_path, host(sshd, "n1", key=forced(sshd, tmp_path, f"echo Welcome; {AS_ASKED}")))
    assert len((await facts_of(reach, reach.cluster, Wanted())).hosts) == 1


async def test_a_host_without_python(sshd: Sshd, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("env", "sh"):
        (folder / name).symlink_to(str(shutil.which(name)))
    said = await reason(sshd, tmp_path, f"PATH={folder}; export PATH; {AS_ASKED}")
    assert said == "host n1 has no python3, which the check needs; install it"


async def test_a_host_that_runs_something_else(sshd: Sshd, tmp_path: Path) -> None:
    said = await reason(sshd, tmp_path, "echo; echo This account is for backups only.")
    assert said == ("host n1 ran the probe, but gave no facts (status 0); it said: This account is for backups only.")


async def test_a_host_that_answers_json_of_another_form(sshd: Sshd, tmp_path: Path) -> None:
    assert "gave no facts" in await reason(sshd, tmp_path, 'echo "[1]"')
    (tmp_path / "forced").unlink()
    assert "gave no facts" in await reason(sshd, tmp_path, """echo '{"os": 7}'""")


async def test_a_probe_that_breaks_off(sshd: Sshd, tmp_path: Path) -> None:
    said = await reason(sshd, tmp_path, "exec python3 -c 'raise SystemExit(\"no room\")'")
    assert said == "host n1 ran the probe, but gave no facts (status 1); it said: no room"
