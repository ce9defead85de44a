"""Libvirt itself: installed, answering on its host, and listening as the cluster file wants, and in no weaker way.

Source: libvirt.org, "Remote support" and "Libvirt daemons" (systemd socket activation); the man pages of libvirtd and
virtproxyd. The five guides' way, plain TCP without authentication (``listen_tcp = 1``, ``auth_tcp = "none"``, ``-l``),
is recognised wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hotfoot.cluster import Cluster
from hotfoot.readiness.change import Change, Command, EditFile, Install, Phase, SetUnit, Step
from hotfoot.readiness.daemons import (
    FILES,
    UNITS,
    Daemons,
    active,
    daemons_of,
    enabled,
    installed,
    listens,
    masked,
)
from hotfoot.readiness.edit import EnsureLine, RemoveKey, SetKey
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.libvirt_conf import Settings, read
from hotfoot.readiness.libvirt_mistakes import mistakes, refresh
from hotfoot.readiness.libvirt_sockets import closed, opened, started

TLS_PORT, TCP_PORT = 16514, 16509
_ENVIRONMENT_FILES = (
    "/etc/default/libvirtd",
    "/etc/default/libvirt-bin",
    "/etc/default/virtproxyd",
    "/etc/sysconfig/libvirtd",
    "/etc/sysconfig/virtproxyd",
)
_DROP_INS = (
    "/etc/systemd/system/libvirtd.service",
    "/etc/systemd/system/virtproxyd.service",
    "/etc/systemd/system/libvirtd.service.d/*.conf",
    "/etc/systemd/system/virtproxyd.service.d/*.conf",
)
_LOCAL_SOCKET = "/run/libvirt/libvirt-sock"
# Where the program's own arguments stand: an environment file's variable, or a unit's command or variable.
_ARGUMENTS = re.compile(
    r"^\s*(?:(?:export\s+)?(?:LIBVIRTD_ARGS|VIRTPROXYD_ARGS|libvirtd_opts)\s*=|Environment\s*=|ExecStart\s*=).*$",
    re.MULTILINE,
)
_LISTEN = re.compile(r"(?<![\w-])(?:--listen|-[dvt]*l[dvt]*)(?![\w-])")
_SOCKET_KEYS = ("listen_tls", "listen_tcp", "listen_addr", "tls_port", "tcp_port", "mdns_adv", "mdns_name")
_CERTIFICATES = {
    "ca_file": "/etc/pki/CA/cacert.pem",
    "cert_file": "/etc/pki/libvirt/servercert.pem",
    "key_file": "/etc/pki/libvirt/private/serverkey.pem",
}
_ROOT_FOR_ALL = (
    "Libvirt's protocol can do anything that root can: start a program as root, read any file. Whoever reaches"
)


def judge(cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with libvirt's daemons on every host that answered."""
    for host in facts.hosts:
        if not installed(host):
            yield _missing(host)
            continue
        daemons = daemons_of(host)
        yield from _answers(host, daemons)
        arguments = tuple(_listen_argument(host, daemons))
        yield from arguments
        if cluster.libvirt.transport in ("tls", "tcp"):
            # The service is started anew to listen, and must not meet the argument then.
            yield from _listens(cluster, host, daemons, tuple(change for each in arguments for change in each.changes))
        else:
            yield from _ssh_user(cluster, host, daemons)
        yield from _plain_tcp(cluster, host, daemons)
        yield from _settings(cluster, host, daemons)
        for path in dict.fromkeys((daemons.qemu_daemon_conf, daemons.proxy_conf)):
            yield from mistakes("libvirt_daemon", host, path, f"{path.split('/')[-1][:-5]}.service")


def _missing(host: HostFacts) -> Finding:
    packages: tuple[str, ...] = ()
    if host.os is not None and host.os.debian_like:
        packages = ("libvirt-daemon-system", "libvirt-clients")
    elif host.os is not None and host.os.redhat_like:
        packages = ("libvirt-daemon-kvm", "libvirt-client")
    return Finding(
        code="libvirt_daemon.missing",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"libvirt is not installed on {host.host}.",
        evidence="neither libvirtd.service nor virtqemud.service is known to systemd",
        why="Instances are started and moved by libvirt: without it the host can neither send nor receive any.",
        remedy=f"Install {' and '.join(packages) or 'libvirt'} on {host.host}.",
        changes=(_change(host, Install(packages=packages), Phase.PACKAGES),) if packages else (),
    )


def _answers(host: HostFacts, daemons: Daemons) -> Iterator[Finding]:
    sockets = tuple(dict.fromkeys((daemons.socket, f"{daemons.proxy}.socket")))
    if host.libvirt is not None and not host.libvirt.answers and _without_client(host):
        package = "libvirt-client" if host.os and host.os.redhat_like else "libvirt-clients"
        yield Finding(
            code="libvirt_daemon.no-client",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"libvirt's client virsh is not installed on {host.host}.",
            evidence=host.libvirt.problem or f"{package} is not installed",
            why="Without it neither the instances of the host nor what its libvirt can do are seen, here or by you.",
            remedy=f"Install {package} on {host.host}.",
            changes=(_change(host, Install(packages=(package,)), Phase.PACKAGES),),
        )
        return
    if host.libvirt is not None and not host.libvirt.answers:
        yield Finding(
            code="libvirt_daemon.silent",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"libvirt does not answer on {host.host}.",
            evidence=host.libvirt.problem or "no answer from qemu:///system",
            why="Without it no instance can be seen, started or moved there; running ones go on, unseen.",
            remedy=f"Start it (`systemctl start {daemons.socket}`); `journalctl -u {daemons.service}` says why it"
            " ended.",
            changes=started(host, daemons),
        )
        return
    for unit in sockets:
        if enabled(host, unit) is False and not masked(host, unit) and enabled(host, daemons.service) is False:
            yield Finding(
                code="libvirt_daemon.not-at-boot",
                severity=Severity.DANGEROUS,
                host=host.host,
                what=f"{unit} is not started at boot on {host.host}.",
                evidence=f"{unit}: {host.units[unit].enabled}",
                why="After the next reboot libvirt does not answer there: no instance starts, none can be moved.",
                remedy=f"`systemctl enable {unit}` on {host.host}.",
                changes=(_change(host, SetUnit(unit=unit, enabled=True)),),
            )


def _without_client(host: HostFacts) -> bool:
    """Whether the packages of libvirt are known, and its client is not among them."""
    return bool(host.packages) and not host.packages.keys() & {"libvirt-clients", "libvirt-client"}


def _listen_argument(host: HostFacts, daemons: Daemons) -> Iterator[Finding]:
    if masked(host, f"{daemons.proxy}.socket"):
        return  # the old way, on purpose: without its sockets the daemon listens by itself
    for path, file in host.files.items():
        if path not in _ENVIRONMENT_FILES and not _is_drop_in(path):
            continue
        lines = [each[0] for each in _ARGUMENTS.finditer(file.content or "") if _LISTEN.search(each[0])]
        if not lines:
            continue
        edits = tuple(
            EnsureLine(line=_without_listen(line), instead_of=f"^{re.escape(line)}$") for line in dict.fromkeys(lines)
        )
        reload = Command(
            title="have systemd read its units again",
            argv=("systemctl", "daemon-reload"),
            undo=("systemctl", "daemon-reload"),
        )
        yield Finding(
            code="libvirt_daemon.listen-argument",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"{daemons.proxy} is told to listen by -l or --listen on {host.host}.",
            evidence=f"{path}: {' / '.join(line.strip() for line in lines)}",
            why="Guides for old systems say so. Where systemd opens the sockets (libvirt 5.6 and newer) the"
            " argument is a"
            " fatal error: at its next start the daemon ends at once.",
            remedy=f"Take -l and --listen out of {path}; {daemons.proxy}-tls.socket listens in its stead.",
            changes=(
                _change(host, EditFile(path=path, edits=edits)),
                *((_change(host, reload),) if _is_drop_in(path) else ()),
                *refresh(host, daemons.proxy_service),
            ),
        )


def _without_listen(line: str) -> str:
    """Take the argument out of a line.

    >>> _without_listen('LIBVIRTD_ARGS="--listen --timeout 120"')
    'LIBVIRTD_ARGS="--timeout 120"'
    """
    gone = "\0"

    def keep_others(match: re.Match[str]) -> str:
        others = "" if match[0] == "--listen" else match[0].removeprefix("-").replace("l", "")
        return f"-{others}" if others else gone

    bare = _LISTEN.sub(keep_others, line)
    return bare.replace(f" {gone}", "").replace(f"{gone} ", "").replace(gone, "")


def _is_drop_in(path: str) -> bool:
    return re.match(r"/etc/systemd/system/(libvirtd|virtproxyd)\.service(\.d/|$)", path) is not None


def _listens(cluster: Cluster, host: HostFacts, daemons: Daemons, before: tuple[Change, ...]) -> Iterator[Finding]:
    transport = cluster.libvirt.transport
    port = cluster.libvirt.port or (TLS_PORT if transport == "tls" else TCP_PORT)
    unit = daemons.listening_socket(transport)
    heard, runs, stays = listens(host, port), active(host, unit), enabled(host, unit)
    by_itself = masked(host, f"{daemons.proxy}.socket")
    if heard is False or (heard is None and runs is False):
        usual = port == (TLS_PORT if transport == "tls" else TCP_PORT)
        yield Finding(
            code="libvirt_daemon.not-listening",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"libvirt on {host.host} does not listen for {transport.upper()} connections (port {port}).",
            evidence=f"nothing listens on TCP port {port}; {unit}: {_state(host, unit)}",
            why="The source's libvirt speaks to the destination's over the network during a migration; the"
            " distributions"
            " leave that switched off.",
            remedy=f"On {host.host}: stop {daemons.proxy_service}, `systemctl enable --now {unit}`, start it again"
            " (instances run on)."
            + ("" if usual else f" The port {port} needs a ListenStream= line in a drop-in of {unit}."),
            changes=(*before, *opened(host, daemons, unit, by_itself=by_itself)) if usual else (),
        )
    elif stays is False and not by_itself:
        yield Finding(
            code="libvirt_daemon.listens-until-reboot",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"libvirt on {host.host} listens now, but not after the next reboot.",
            evidence=f"{unit}: {_state(host, unit)}",
            why=f"{unit} is not enabled, so nothing opens port {port} at boot.",
            remedy=f"`systemctl enable {unit}` on {host.host}.",
            changes=(_change(host, SetUnit(unit=unit, enabled=True)),),
        )


def _plain_tcp(cluster: Cluster, host: HostFacts, daemons: Daemons) -> Iterator[Finding]:
    unit = daemons.listening_socket("tcp")
    settings = read(host.text(daemons.proxy_conf))
    without = settings.text("auth_tcp") == "none"
    if cluster.libvirt.transport == "tcp":
        yield Finding(
            code="libvirt_daemon.plain-tcp-asked",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"The cluster file asks for plain TCP to libvirt on {host.host}.",
            evidence="libvirt.transport: tcp" + (f'; {daemons.proxy_conf}: auth_tcp = "none"' if without else ""),
            why=f"{_ROOT_FOR_ALL} the port is root on {host.host}, and the connection can be read and changed on"
            " the way.",
            remedy="Write `transport: tls` in the cluster file; `hotfoot prepare` then sets it up and closes the"
            " TCP port.",
        )
        return
    if listens(host, TCP_PORT) or active(host, unit) or enabled(host, unit):
        yield Finding(
            code="libvirt_daemon.plain-tcp-open",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"libvirt on {host.host} listens for plain TCP connections (port {TCP_PORT}), which nobody asked for.",
            evidence=f"port {TCP_PORT} {'is' if listens(host, TCP_PORT) else 'is not'} open; {unit}:"
            f" {_state(host, unit)}" + ('; auth_tcp = "none"' if without else ""),
            why=f"{_ROOT_FOR_ALL} the port{' is' if without else ', and guesses a password, is'} root on {host.host};"
            " nothing is encrypted.",
            remedy=f"`systemctl disable --now {unit}` and restart {daemons.proxy_service}: until then it holds the port"
            " (instances run on).",
            changes=_closed(host, daemons, unit),
        )
    if without:
        yield Finding(
            code="libvirt_daemon.auth-tcp-none",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f'libvirt on {host.host} would let anyone in over plain TCP: auth_tcp is "none".',
            evidence=f"{daemons.proxy_conf}: {settings.shown('auth_tcp')}",
            why=f"{_ROOT_FOR_ALL} port {TCP_PORT}, once it is open, is root on {host.host} without a password.",
            remedy=f"Take auth_tcp out of {daemons.proxy_conf}.",
            changes=(
                _change(host, EditFile(path=daemons.proxy_conf, edits=(RemoveKey(key="auth_tcp"),))),
                *refresh(host, daemons.proxy_service),
            ),
        )


def _closed(host: HostFacts, daemons: Daemons, unit: str) -> tuple[Change, ...]:
    again = refresh(host, daemons.proxy_service)
    if masked(host, f"{daemons.proxy}.socket"):  # it listens by itself
        edit = EditFile(path=daemons.proxy_conf, edits=(SetKey(key="listen_tcp", value="0"),))
        return _change(host, edit), *again
    # Where the socket is gone already, the service still holds what it was given.
    return closed(host, daemons, unit) if active(host, unit) else (*closed(host, daemons, unit), *again)


def _settings(cluster: Cluster, host: HostFacts, daemons: Daemons) -> Iterator[Finding]:
    settings = read(host.text(daemons.proxy_conf))
    if not masked(host, f"{daemons.proxy}.socket"):
        yield from _ignored(host, daemons, settings)
    if settings.number("tls_no_verify_certificate"):
        yield Finding(
            code="libvirt_daemon.clients-not-verified",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"libvirt on {host.host} does not check the certificates of clients.",
            evidence=f"{daemons.proxy_conf}: {settings.shown('tls_no_verify_certificate')}",
            why=f"{_ROOT_FOR_ALL} port {TLS_PORT}, with any certificate or none, is root on {host.host}.",
            remedy=f"Take tls_no_verify_certificate out of {daemons.proxy_conf}.",
            changes=(
                _change(host, EditFile(path=daemons.proxy_conf, edits=(RemoveKey(key="tls_no_verify_certificate"),))),
                *refresh(host, daemons.proxy_service),
            ),
        )
    elsewhere = [key for key, usual in _CERTIFICATES.items() if settings.text(key) not in (None, "", usual)]
    if cluster.libvirt.transport == "tls" and elsewhere:
        yield Finding(
            code="libvirt_daemon.certificates-elsewhere",
            severity=Severity.ADVICE,
            host=host.host,
            what=f"libvirt on {host.host} takes its certificates from other places than the usual ones.",
            evidence=f"{daemons.proxy_conf}: {'; '.join(settings.shown(key) for key in elsewhere)}",
            why="What is looked at here, and renewed, are those in /etc/pki/CA and /etc/pki/libvirt.",
            remedy=f"Take {' and '.join(elsewhere)} out of {daemons.proxy_conf}, or look after those files yourself.",
        )
    socket = host.paths.get(_LOCAL_SOCKET)
    own = read(host.text(daemons.qemu_daemon_conf))
    if own.text("auth_unix_rw") == "none" and socket is not None and socket.exists and socket.mode & 0o002:
        yield Finding(
            code="libvirt_daemon.any-user-is-root",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"Every user of {host.host} may do anything through libvirt.",
            evidence=f"{daemons.qemu_daemon_conf}: {own.shown('auth_unix_rw')}; {_LOCAL_SOCKET} has mode"
            f" {socket.mode & 0o7777:04o}",
            why=f"{_ROOT_FOR_ALL} the socket, any program of any user, is root: its mode lets all in, and nothing"
            " asks.",
            remedy=f'Set auth_unix_rw = "polkit" in {daemons.qemu_daemon_conf}, or close the socket to others.',
            changes=(
                _change(
                    host,
                    EditFile(path=daemons.qemu_daemon_conf, edits=(SetKey(key="auth_unix_rw", value='"polkit"'),)),
                ),
                *refresh(host, daemons.service),
            ),
        )


def _ignored(host: HostFacts, daemons: Daemons, settings: Settings) -> Iterator[Finding]:
    keys = [key for key in _SOCKET_KEYS if key in settings.values]
    if not keys:
        return
    old = ", the old guides' way to open the TCP port," if settings.number("listen_tcp") else ""
    yield Finding(
        code="libvirt_daemon.ignored-settings",
        severity=Severity.ADVICE,
        host=host.host,
        what=f"{daemons.proxy_conf} on {host.host} has settings that do nothing: {', '.join(keys)}.",
        evidence="; ".join(f"line {settings.lines[key]}: {settings.shown(key)}" for key in keys),
        why=f"Where systemd opens the sockets (libvirt 5.6 and newer), these{old} are ignored: the units"
        f" {daemons.proxy}-tls.socket and {daemons.proxy}-tcp.socket decide who may connect.",
        remedy=f"Take them out of {daemons.proxy_conf}, so that nobody relies on them.",
        changes=(_change(host, EditFile(path=daemons.proxy_conf, edits=tuple(RemoveKey(key=key) for key in keys))),),
    )


def _ssh_user(cluster: Cluster, host: HostFacts, daemons: Daemons) -> Iterator[Finding]:
    user = cluster.migration_user
    if user in (None, "root") or host.identity is None:
        return
    settings = read(host.text(daemons.qemu_daemon_conf))
    name = settings.text("unix_sock_group") or "libvirt"
    account, group = host.identity.user(str(user)), host.identity.group(name)
    if account is None or group is None or user in group.members or account.gid == group.gid:
        return
    yield Finding(
        code="libvirt_daemon.user-kept-out",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"The user {user} may not use libvirt on {host.host}: it is not in the group {name}.",
        evidence=f"members of {name}: {', '.join(group.members) or 'none'}",
        why=f"The source logs in as {user} and speaks to libvirt's local socket there, which only root and the group"
        f" {name} may use.",
        remedy=f"`usermod -a -G {name} {user}` on {host.host}.",
        changes=(
            _change(
                host,
                Command(
                    title=f"add the user {user} to the group {name}",
                    argv=("usermod", "-a", "-G", name, str(user)),
                    undo=("gpasswd", "-d", str(user), name),
                ),
                Phase.IDENTITY,
            ),
        ),
    )


def _state(host: HostFacts, unit: str) -> str:
    found = host.units.get(unit)
    if found is None or found.load == "not-found":
        return "not there"
    return ", ".join(word for word in (found.active, found.enabled) if word) or "not known"


def _change(host: HostFacts, step: Step, phase: Phase = Phase.LIBVIRT) -> Change:
    return Change(host=host.host, phase=phase, step=step)


TOPIC = Topic(
    name="libvirt_daemon",
    title="libvirt answers and listens",
    judge=judge,
    files=(*FILES, *_ENVIRONMENT_FILES, *_DROP_INS),
    paths=(_LOCAL_SOCKET,),
    units=UNITS,
    packages=("libvirt-daemon-system", "libvirt-daemon", "libvirt-daemon-kvm", "libvirt-clients", "libvirt-client"),
    sections=("libvirt",),
)
