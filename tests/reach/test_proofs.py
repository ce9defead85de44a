"""The orchestrator over a real sshd: two hosts of a cluster that are one machine, and a third that is not there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hotfoot.cluster.validation import cluster_from
from hotfoot.errors import HotfootError
from hotfoot.reach.proof.proofs import libvirt_argv, login_argv, prove
from hotfoot.reach.ssh import SshAccess, prepare

from .conftest import Sshd, free_port


def access(sshd: Sshd, tmp_path: Path, **more: Any) -> SshAccess:
    ssh = {"user": sshd.user, "port": sshd.port, "key": str(sshd.key), "known_hosts": str(sshd.known_hosts)}
    hosts = [{"name": name, "address": "127.0.0.1"} for name in ("n1", "n2")]
    hosts.append({"name": "n3", "address": "127.0.0.1", "ssh": {"port": free_port()}})  # type: ignore[dict-item]
    storage = [{"path": str(tmp_path / "shared"), "type": "nfs"}, {"path": str(tmp_path / "missing"), "type": "local"}]
    (tmp_path / "shared").mkdir()
    cluster = cluster_from({"hosts": hosts, "ssh": ssh, "storage": storage, "libvirt": {"port": free_port()}} | more)
    return prepare(cluster, tmp_path)


async def until(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come about within 10 s")


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port that answers nobody: its queue of one is taken, so that the kernel drops every further call."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for caller in (first, second):
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


async def test_what_two_prove_while_a_third_is_off(sshd: Sshd, tmp_path: Path) -> None:
    reach = access(sshd, tmp_path)
    proofs = await prove(reach, reach.cluster)
    assert list(proofs.problems) == ["n3"]
    assert "refuses connections" in proofs.problems["n3"]
    assert [(each.source, each.destination) for each in proofs.pairs] == [("n1", "n2"), ("n2", "n1")]
    for pair in proofs.pairs:
        assert pair.ssh is pair.libvirt is None  # no user to log in, and nobody listens where libvirt would
        assert pair.ports.pop(sshd.port) == "open"
        assert sorted(pair.ports.values()) == ["open", "open", "refused"]
    for token in proofs.shared:
        if token.path.endswith("missing"):
            assert token.problem.endswith("missing: No such file or directory")
            assert token.failed_on == token.writer
        else:
            assert (token.problem, token.same, token.lock_refused) == ("", True, True)
    assert list((tmp_path / "shared").iterdir()) == []


async def test_one_direction_only(sshd: Sshd, tmp_path: Path) -> None:
    reach = access(sshd, tmp_path)
    proofs = await prove(reach, reach.cluster, ["n1", "n2"], [("n2", "n1")])
    assert proofs.problems == {}
    assert [(each.source, each.destination) for each in proofs.pairs] == [("n2", "n1")]
    assert {(each.reader, each.writer) for each in proofs.shared} == {("n2", "n1")}


async def test_a_login_is_tried_as_the_migration_user(sshd: Sshd, tmp_path: Path) -> None:
    reach = access(sshd, tmp_path, migration={"user": "no-such-user"})
    proofs = await prove(reach, reach.cluster, ["n1", "n2"])
    assert [pair.ssh for pair in proofs.pairs] == ["user no-such-user does not exist"] * 2


async def test_a_name_that_is_not_there(sshd: Sshd, tmp_path: Path) -> None:
    reach = access(sshd, tmp_path)
    with pytest.raises(HotfootError, match='no host "n4"'):
        await prove(reach, reach.cluster, ["n1", "n4"])


async def test_a_cancelled_proof_leaves_no_token(sshd: Sshd, tmp_path: Path) -> None:
    with silent_port() as port:  # knocked at for two seconds: time enough to see both tokens
        reach = access(sshd, tmp_path, libvirt={"port": port})
        proving = asyncio.create_task(prove(reach, reach.cluster, ["n1", "n2"]))
        await until(lambda: len(list((tmp_path / "shared").iterdir())) == 2)
        proving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await proving
    await until(lambda: not list((tmp_path / "shared").iterdir()))


def test_the_commands_that_hosts_run() -> None:
    def uri(libvirt: dict[str, Any], address: str = "10.0.0.1", **more: Any) -> str:
        cluster = cluster_from({"hosts": [{"name": "n1", "address": address}], "libvirt": libvirt} | more)
        return libvirt_argv(cluster, cluster.hosts[0])[3]

    assert uri({}) == "qemu+tls://10.0.0.1/system"
    assert uri({"port": 16600}, "2001:db8::1") == "qemu+tls://[2001:db8::1]:16600/system"
    assert uri({"transport": "tcp"}) == "qemu+tcp://10.0.0.1/system"
    assert uri({"transport": "ssh"}, ssh={"port": 2222}) == "qemu+ssh://root@10.0.0.1:2222/system?no_tty=1"
    assert uri({"transport": "ssh"}, migration={"user": "nova"}) == "qemu+ssh://nova@10.0.0.1/system?no_tty=1"
    login = login_argv("n2", 22)
    assert login[-3:] == ["--", "n2", "true"]
    assert "StrictHostKeyChecking=yes" in login
    assert login_argv("n2", 2222)[-5:] == ["-p", "2222", "--", "n2", "true"]
