"""Recorded words of OpenSSH and sudo, and what the operator reads instead."""

from __future__ import annotations

import pytest

from hotfoot.cluster import Host, Ssh
from hotfoot.reach.ssh_failure import connection_failure, sudo_failure

HOST = Host(name="n1", address="10.77.0.11")


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("ssh: connect to host 10.77.0.11 port 22: No route to host", "is switched off, or there is no route"),
        ("ssh: connect to host 10.77.0.11 port 22: Network is unreachable", "no route to its network"),
        ("ssh: connect to host 10.77.0.11 port 22: Connection timed out", "does not answer at port 22 within 10 s"),
        ("ssh: Could not resolve hostname n9: Name or service not known", "not known to this machine's name service"),
        ("Timeout, server 10.77.0.11 not responding.", "fell silent during a command"),
        ("Received disconnect from 10.77.0.11 port 22:2: Too many authentication failures", "too many keys"),
        ("Bad owner or permissions on /root/.ssh/config", "ssh refuses its own configuration here: Bad owner"),
        ("Unable to negotiate with 10.77.0.11: no matching host key type found.", "no common way to talk"),
        ("something new", "the SSH connection to host n1 (10.77.0.11) failed: something new"),
        ("", "hung up before the login; is it sshd that listens at port 22?"),
    ],
)
def test_connections(stderr: str, words: str) -> None:
    assert words in connection_failure(HOST, Ssh(), stderr)


@pytest.mark.parametrize(
    ("status", "stderr", "words"),
    [
        (1, "sudo: a password is required\n", "asks admin for a password; allow it without one"),
        (1, "sudo: a terminal is required to read the password\n", "asks admin for a password"),
        (1, "sudo: interactive authentication is required\n", "asks admin for a password"),
        (127, "env: 'sudo': No such file or directory\n", "host n1 has no sudo"),
        (1, "sudo: admin is not in the sudoers file.\n", "does not let admin run commands as root"),
    ],
)
def test_sudo_that_does_not_run_the_command(status: int, stderr: str, words: str) -> None:
    said = sudo_failure(HOST, Ssh(user="admin"), status, stderr)
    assert said is not None
    assert words in said


@pytest.mark.parametrize(
    ("status", "stderr"),
    [
        (0, ""),
        (1, ""),
        (1, "grep: no match\n"),
        (127, "sh: 1: nosuch: not found\n"),
        (2, "sudo: a password is required"),
    ],
)
def test_a_status_of_the_command_itself_is_left_to_the_caller(status: int, stderr: str) -> None:
    assert sudo_failure(HOST, Ssh(), status, stderr) is None
