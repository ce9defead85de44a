from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from hotfoot.cluster.validation import cluster_from
from hotfoot.errors import HotfootError
from hotfoot.reach.conversation import begin
from hotfoot.reach.ssh import SshAccess, prepare

from .conftest import Sshd, free_port, make_key


def access(sshd: Sshd, folder: Path, **ssh: Any) -> SshAccess:
    own = {
        "user": sshd.user,
        "port": sshd.port,
        "key": str(sshd.key),
        "known_hosts": str(sshd.known_hosts),
        "sudo": False,
    }
    return prepare(cluster_from({"hosts": [{"name": "n1", "address": "127.0.0.1", "ssh": own | ssh}]}), folder)


async def failure(reach: SshAccess, **options: Any) -> str:
    with pytest.raises(HotfootError) as caught:
        await reach.run(reach.cluster.hosts[0], ["true"], **options)
    return str(caught.value)


async def test_a_program_gets_its_arguments_as_they_are(sshd: Sshd, tmp_path: Path) -> None:
    reach = access(sshd, tmp_path)
    words = ["a b", "'", '"', "$HOME", "*", "", "-n", "ü\n;"]
    done = await reach.run(reach.cluster.hosts[0], ["printf", "%s|", *words])
    assert (done.stdout, done.stderr, done.status) == ("".join(f"{word}|" for word in words), "", 0)


async def test_a_script_with_input_both_outputs_and_a_status(sshd: Sshd, tmp_path: Path) -> None:
    reach = access(sshd, tmp_path)
    script = 'read -r line; echo "got $line"; echo "locale $LC_ALL" >&2; exit 3'
    done = await reach.run(reach.cluster.hosts[0], script, stdin="a line\n")
    assert (done.stdout, done.stderr, done.status) == ("got a line\n", "locale C\n", 3)


async def test_many_at_once(sshd: Sshd, tmp_path: Path) -> None:
    reach = access(sshd, tmp_path)
    done = await asyncio.gather(*(reach.run(reach.cluster.hosts[0], ["echo", str(n)]) for n in range(6)))
    assert [each.stdout for each in done] == [f"{n}\n" for n in range(6)]


def test_the_wrapper_serves_a_caller_that_knows_only_the_address(sshd: Sshd, tmp_path: Path) -> None:
    reach = access(sshd, tmp_path)
    argv = [str(reach.command), "-T", "-e", "none", "--", "127.0.0.1", "echo reached"]  # as libvirt calls it
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == "reached\n"


def test_the_wrapper_outlives_the_ctrl_c_of_the_terminal(sshd: Sshd, tmp_path: Path) -> None:
    argv = [str(access(sshd, tmp_path).command), "n1", "echo ready; read line; echo got $line"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        client.send_signal(signal.SIGINT)
        client.stdin.write("an answer\n")
        client.stdin.flush()
        assert client.stdout.readline() == "got an answer\n"


async def test_a_command_that_takes_too_long(sshd: Sshd, tmp_path: Path) -> None:
    reach = access(sshd, tmp_path)
    with pytest.raises(HotfootError, match=r"host n1 \(127.0.0.1\) did not end within 0.5 s"):
        await reach.run(reach.cluster.hosts[0], ["sleep", "60"], timeout_s=0.5)


async def test_a_cancelled_call_leaves_no_client(sshd: Sshd, tmp_path: Path) -> None:
    reach = access(sshd, tmp_path)
    task = asyncio.create_task(reach.run(reach.cluster.hosts[0], ["sleep", "60"]))
    await asyncio.to_thread(wait_for_client, reach)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clients(reach) == []


def wait_for_client(reach: SshAccess) -> None:
    while not clients(reach):
        time.sleep(0.01)


def clients(reach: SshAccess) -> list[str]:
    """Processes that were started with this access's configuration."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(reach.config.parent) in words:
            found.append(folder.name)
    return found


async def test_nothing_listens(sshd: Sshd, tmp_path: Path) -> None:
    port = free_port()
    said = await failure(access(sshd, tmp_path, port=port))
    assert said.startswith(f"host n1 (127.0.0.1) refuses connections at port {port}; start sshd there")


async def test_input_that_nobody_takes_is_no_trouble_of_its_own(sshd: Sshd, tmp_path: Path) -> None:
    untold: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: untold.append(context))
    reach = access(sshd, tmp_path, port=free_port())
    await failure(reach, stdin=bytes(1 << 22))
    conversation = await begin(reach, reach.cluster.hosts[0], "#" * (1 << 22), "program")
    with pytest.raises(HotfootError):
        await conversation.hear()
    await conversation.close()
    del conversation
    gc.collect()
    assert untold == []


async def test_another_service_listens(sshd: Sshd, tmp_path: Path) -> None:
    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    said = await failure(access(sshd, tmp_path, port=port))
    server.close()
    assert f"hung up before the login; is it sshd that listens at port {port}?" in said


async def test_a_host_that_never_answers(sshd: Sshd, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = await failure(access(sshd, tmp_path, port=silent.getsockname()[1]))
    assert "does not answer at port" in said


async def test_an_unknown_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    stranger = make_key(tmp_path / "stranger")
    said = await failure(access(sshd, tmp_path, key=str(stranger)))
    assert said == (
        f"host n1 (127.0.0.1) refuses the login as {sshd.user} with the key {stranger}; add the public key to "
        "authorized_keys there, or correct ssh.user and ssh.key in the cluster file"
    )


async def test_host_keys_are_checked(sshd: Sshd, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.touch()
    reach = access(sshd, tmp_path, known_hosts=str(known_hosts))
    assert f"has an SSH host key that {known_hosts} does not know" in await failure(reach)
    kind, text, *_ = make_key(tmp_path / "other").with_suffix(".pub").read_text().split()
    known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {kind} {text}\n")
    assert f"shows another SSH host key than {known_hosts} has for it" in await failure(reach)
    assert known_hosts.read_text().count("\n") == 1


async def test_paths_with_spaces_and_percent_signs(sshd: Sshd, tmp_path: Path) -> None:
    odd = tmp_path / "a %d \\ 'b' #c"
    odd.mkdir()
    for file in (sshd.key, sshd.known_hosts):
        (odd / file.name).write_bytes(file.read_bytes())
        (odd / file.name).chmod(0o600)
    reach = access(sshd, odd, key=str(odd / sshd.key.name), known_hosts=str(odd / sshd.known_hosts.name))
    assert (await reach.run(reach.cluster.hosts[0], ["echo", "in"])).stdout == "in\n"


async def test_sudo_only_when_asked(sshd: Sshd, tmp_path: Path) -> None:
    reach = access(sshd, tmp_path, sudo=True)
    host = reach.cluster.hosts[0]
    assert (await reach.run(host, ["echo", "in"], as_root=False)).stdout == "in\n"
    if shutil.which("sudo") is None:
        assert (await failure(reach)).startswith("host n1 has no sudo; install it")
    elif os.getuid() == 0:
        assert (await reach.run(host, ["id", "-u"])).stdout == "0\n"


def test_files_are_private_and_named_after_their_content(sshd: Sshd, tmp_path: Path) -> None:
    first, again, other = access(sshd, tmp_path), access(sshd, tmp_path), access(sshd, tmp_path, port=2)
    assert first == again
    assert first.config.parent != other.config.parent
    assert stat.S_IMODE(first.config.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(first.config.stat().st_mode) == 0o600
    assert os.access(first.command, os.X_OK)
    assert sorted(path.name for path in first.config.parent.iterdir()) == ["config", "ssh"]
    before = first.config.stat().st_ino
    access(sshd, tmp_path)
    assert first.config.stat().st_ino == before
