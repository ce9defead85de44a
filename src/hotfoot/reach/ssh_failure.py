"""What the OpenSSH client and sudo complain about, in the operator's words: pure."""

from __future__ import annotations

from hotfoot.cluster import Host, Ssh
from hotfoot.reach.ssh_config import CONNECT_TIMEOUT_S

_HUNG_UP = "{at} hung up before the login; is it sshd that listens at port {port}?"

# A phrase of the client's stderr, and what it means; the first that is found tells. These are the phrases of
# OpenSSH 8 to 10, which never translates them.
_EXPLANATIONS = (
    (
        "remote host identification has changed",
        "{at} shows another SSH host key than {known_hosts} has for it; if the host was installed anew, "
        "compare the key at its console and replace that line, otherwise somebody answers in its place",
    ),
    (
        "host key is known for",
        "{at} has an SSH host key that {known_hosts} does not know; compare what "
        "`ssh-keyscan -p {port} {address}` prints with the key at its console, and add it",
    ),
    ("host key verification failed", "the SSH host key of {at} cannot be verified by {known_hosts}"),
    (
        "too many authentication failures",
        "{at} hung up because too many keys were offered; name the right one by ssh.key in the cluster file",
    ),
    (
        "permission denied",
        "{at} refuses the login {login} with {key}; add the public key to authorized_keys there, or correct "
        "ssh.user and ssh.key in the cluster file",
    ),
    (
        "connection refused",
        "{at} refuses connections at port {port}; start sshd there, or correct ssh.port in the cluster file",
    ),
    (
        "could not resolve hostname",
        "the address of {at} is not known to this machine's name service; correct it in the cluster file",
    ),
    ("no route to host", "{at} cannot be reached: it is switched off, or there is no route to it"),
    ("network is unreachable", "{at} cannot be reached: this machine has no route to its network"),
    ("not responding", "{at} fell silent during a command; is it still switched on and connected?"),
    (
        "timed out",
        "{at} does not answer at port {port} within {timeout_s} s; is it switched on, and does a firewall "
        "stand between?",
    ),
    ("no matching", "{at} and this machine's ssh client have no common way to talk: {said}"),
    ("bad owner or permissions", "ssh refuses its own configuration here: {said}"),
    ("bad configuration option", "ssh does not understand its own configuration here: {said}"),
    (
        "connection closed",
        _HUNG_UP,
    ),
    ("connection reset", _HUNG_UP),
    ("kex_exchange_identification", _HUNG_UP),
)


def connection_failure(host: Host, ssh: Ssh, stderr: str) -> str:
    """Explain why ssh ended with its status 255, by what it wrote to stderr."""
    said = _first_line(stderr)
    facts = {
        "at": f"host {host.name} ({host.address})",
        "address": host.address,
        "port": ssh.port or 22,
        "login": f"as {ssh.user}" if ssh.user else "as the user of your ssh configuration",
        "key": f"the key {ssh.key}" if ssh.key else "the keys of your ssh agent and configuration",
        "known_hosts": ssh.known_hosts or "~/.ssh/known_hosts",
        "timeout_s": CONNECT_TIMEOUT_S,
        "said": said,
    }
    for phrase, explanation in _EXPLANATIONS:
        if phrase in stderr.lower():
            return explanation.format(**facts)
    if not said:  # OpenSSH 10 no longer counts "Connection closed by ..." among the errors
        return _HUNG_UP.format(**facts)
    return f"the SSH connection to {facts['at']} failed: {said}"


def sudo_failure(host: Host, ssh: Ssh, status: int, stderr: str) -> str | None:
    """Explain why sudo did not run the command at all; None if it did, the status is then the command's."""
    user = ssh.user or "the login user"
    if status == 127 and "sudo" in stderr and "No such file" in stderr:
        return f"host {host.name} has no sudo; install it, or log in as root and set ssh.sudo to false"
    if status != 1 or not stderr.lstrip().startswith("sudo: "):
        return None
    if any(f"{what} is required" in stderr for what in ("password", "terminal", "authentication")):
        return (
            f"sudo on host {host.name} asks {user} for a password; allow it without one "
            f'("{user} ALL=(ALL) NOPASSWD: ALL" in a file of /etc/sudoers.d there)'
        )
    if "sudoers" in stderr or "not allowed" in stderr or "may not run" in stderr:
        return f"sudo on host {host.name} does not let {user} run commands as root: {_first_line(stderr)}"
    return None


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else ""
