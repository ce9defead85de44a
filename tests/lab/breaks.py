"""What can be wrong with a host that was ready: how to break it, and the finding that must name it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

HOSTS = ("n1", "n2", "n3")
PKI, QEMU_PKI = "/etc/pki/libvirt", "/etc/pki/qemu"
INSTANCES = "/var/lib/nova/instances"
_CHAIN = "nft add table inet t; nft add chain inet t i '{ type filter hook input priority 0; }'; "
CONSEQUENCES = ("connections.", "ports.")
"""What pairs of hosts cannot do because of any of them: allowed beside the finding that names the cause."""


@dataclass(frozen=True, slots=True)
class Break:
    """One thing broken on one host of a ready lab.

    ``script`` breaks it (a shell script, run on the host as root); ``codes`` are the findings that name it on that
    host; where ``by_hand`` is given, only a person can mend it, and that script does it as the remedy says.
    """

    what: str
    script: str
    """May hold what the test fills in: HOST, PEER (the next host), EXPIRED and FOREIGN (certificates in base64), UUID
    (of n1)."""
    codes: frozenset[str]
    by_hand: str = ""
    also: tuple[str, ...] = ()
    """What else may be found, beside ``CONSEQUENCES``: beginnings of codes."""
    alone: bool = False
    """Whether nothing else is broken at the time: what it breaks shows on other hosts too, or hides what is there."""

    @property
    def mended(self) -> str:
        """Who mends it, in words."""
        return "a person" if self.by_hand else "prepare"


def broken(
    what: str, script: str, *codes: str, by_hand: str = "", also: tuple[str, ...] = (), alone: bool = False
) -> Break:
    """Return a break."""
    return Break(what, script, frozenset(codes), by_hand, also, alone)


def groups(breaks: Sequence[Break]) -> list[dict[str, Break]]:
    """Return what is broken at the same time, by host: one of each third of the list, so that their subjects differ."""
    together = [each for each in breaks if not each.alone]
    third = -(-len(together) // len(HOSTS))
    thirds = (together[start : start + third] for start in range(0, len(together), third))
    found = [{host: each for host, each in zip(HOSTS, group, strict=True) if each} for group in zip_longest(*thirds)]
    return [*found, *({HOSTS[1]: each} for each in breaks if each.alone)]


def _append(line: str, path: str) -> str:
    return f"echo '{line}' >> {path}"


BREAKS: tuple[Break, ...] = (
    # names
    broken(
        "another host's name has the wrong address",
        r"sed -i '/\bPEER\b/s/^[0-9.]*/10.9.9.9/' /etc/hosts",
        "names.wrong-address",
    ),
    broken("its own name is 127.0.1.1", _append("127.0.1.1 HOST", "/etc/hosts"), "names.own-name-on-loopback"),
    broken("another host's name is not known", r"sed -i '/\bPEER\b/d' /etc/hosts", "names.unresolved"),
    # identity
    broken(
        "QEMU's user has another number",
        "usermod -u 4321 libvirt-qemu",
        "identity.qemu-uid",
        also=("identity.", "shared_path.owner", "certificates.key"),
    ),
    broken("group nova has another number", "groupmod -g 4322 nova", "identity.nova-gid", also=("identity.",)),
    broken("a file of nova belongs to nobody", "chown 4242 /var/lib/nova/keys/notes", "identity.unowned-files"),
    # ssh
    broken("nobody may log in as nova", ": > ~nova/.ssh/authorized_keys", "ssh.not-authorized"),
    broken(
        "another host's SSH key is not known",
        r"sed -i '/^PEER\b/d' /etc/ssh/ssh_known_hosts",
        "ssh.host-key-unknown",
    ),
    broken(
        "another host's SSH key is noted wrongly",
        "set -- $(cat /etc/ssh/ssh_host_ed25519_key.pub); "
        "awk -v key=\"$2\" '$1 ~ /^PEER/ {$3 = key} {print}' /etc/ssh/ssh_known_hosts > /tmp/k && "
        "cat /tmp/k > /etc/ssh/ssh_known_hosts && rm /tmp/k",
        "ssh.host-key-changed",
        also=("ssh.host-key-",),
    ),
    broken("nova's private key is open to all", "chmod 0644 ~nova/.ssh/id_ed25519", "ssh.modes"),
    broken(
        "nova has no private key",
        "rm ~nova/.ssh/id_ed25519 ~nova/.ssh/id_ed25519.pub",
        "ssh.no-key",
        also=("ssh.",),
        alone=True,
    ),
    broken(
        "host key checking is off",
        "printf 'Host *\\n    StrictHostKeyChecking no\\n' > /etc/ssh/ssh_config.d/speed.conf",
        "ssh.host-key-checking-off",
    ),
    broken("nova has no shell", "usermod -s /usr/sbin/nologin nova", "ssh.no-shell"),
    broken("sshd does not start at boot", "systemctl -q disable ssh.service", "ssh.not-enabled"),
    # certificates
    broken("libvirt's server certificate is gone", f"rm {PKI}/servercert.pem", "certificates.missing"),
    broken("libvirt's private key is gone", f"rm {PKI}/private/serverkey.pem", "certificates.missing"),
    broken("QEMU's server certificate is gone", f"rm {QEMU_PKI}/server-cert.pem", "certificates.missing"),
    broken("a private key is open to all", f"chmod 0644 {PKI}/private/serverkey.pem", "certificates.key-open"),
    broken(
        "QEMU may not read its key",
        f"chown root:root {QEMU_PKI}/server-key.pem && chmod 0600 {QEMU_PKI}/server-key.pem",
        "certificates.key-unreadable",
    ),
    broken(
        "the key is not the certificate's",
        f"openssl genrsa -out {PKI}/private/serverkey.pem 2048 2>/dev/null",
        "certificates.key-mismatch",
    ),
    broken(
        "a certificate is cut off",
        f"head -c 300 {PKI}/clientcert.pem > /tmp/c; cat /tmp/c > {PKI}/clientcert.pem; rm /tmp/c",
        "certificates.unreadable",
    ),
    broken(
        "the authority is another one",
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout /tmp/k -subj /CN=other -days 90 "
        "-out /etc/pki/CA/cacert.pem 2>/dev/null; rm /tmp/k",
        "certificates.other-authority",
        also=("certificates.",),
    ),
    broken(
        "a certificate signed by nobody we know",
        f"openssl req -x509 -key {PKI}/private/serverkey.pem -subj /CN=HOST -addext subjectAltName=DNS:HOST -days 90 "
        f"-out {PKI}/servercert.pem 2>/dev/null",
        "certificates.not-signed",
        also=("certificates.",),
    ),
    broken(
        "a certificate has expired",
        f"echo EXPIRED | base64 -d > {PKI}/servercert.pem",
        "certificates.expired",
    ),
    broken(
        "a certificate is for another host",
        f"echo FOREIGN | base64 -d > {PKI}/servercert.pem",
        "certificates.wrong-names",
    ),
    # libvirt
    broken(
        "libvirt does not listen",
        "systemctl stop libvirtd-tls.socket libvirtd.service",
        "libvirt_daemon.not-listening",
        also=("libvirt_daemon.",),
    ),
    broken(
        "libvirt listens until the next boot only",
        "systemctl -q disable libvirtd-tls.socket",
        "libvirt_daemon.listens-until-reboot",
        also=("libvirt_daemon.",),
    ),
    broken(
        "libvirt listens without any protection",
        "systemctl stop libvirtd.service && systemctl start libvirtd-tcp.socket libvirtd-tls.socket",
        "libvirt_daemon.plain-tcp-open",
        also=("libvirt_daemon.",),
    ),
    broken(
        "libvirtd is given -l",
        _append('LIBVIRTD_ARGS="-l"', "/etc/default/libvirtd"),
        "libvirt_daemon.listen-argument",
        also=("libvirt_daemon.",),
    ),
    broken(
        "TCP needs no password",
        _append('auth_tcp = "none"', "/etc/libvirt/libvirtd.conf"),
        "libvirt_daemon.auth-tcp-none",
    ),
    broken(
        "anybody's certificate will do",
        _append("tls_no_verify_certificate = 1", "/etc/libvirt/libvirtd.conf"),
        "libvirt_daemon.clients-not-verified",
    ),
    broken(
        "every user of the host is root through libvirt",
        _append('auth_unix_rw = "none"', "/etc/libvirt/libvirtd.conf")
        + "; "
        + _append('unix_sock_rw_perms = "0777"', "/etc/libvirt/libvirtd.conf"),
        "libvirt_daemon.any-user-is-root",
    ),
    # QEMU
    broken(
        "QEMU runs as root",
        _append('user = "root"', "/etc/libvirt/qemu.conf"),
        "qemu_conf.runs-as-root",
        also=("qemu_conf.", "identity.", "certificates.key", "shared_path."),
    ),
    broken(
        "QEMU takes streams from anybody",
        _append("migrate_tls_x509_verify = 0", "/etc/libvirt/qemu.conf"),
        "qemu_conf.senders-not-verified",
    ),
    broken(
        "QEMU does not own its disks",
        _append("dynamic_ownership = 0", "/etc/libvirt/qemu.conf"),
        "qemu_conf.owners-not-set",
    ),
    broken(
        "streams come to other ports",
        _append("migration_port_min = 50000", "/etc/libvirt/qemu.conf"),
        "qemu_conf.other-ports",
    ),
    broken(
        "a typo in qemu.conf",
        _append("dynamic_ownrship = 1", "/etc/libvirt/qemu.conf"),
        "qemu_conf.unknown-setting",
        by_hand="sed -i /ownrship/d /etc/libvirt/qemu.conf",
    ),
    broken(
        "a line of qemu.conf that is no setting",
        _append("user root", "/etc/libvirt/qemu.conf"),
        "qemu_conf.unreadable",
        by_hand="sed -i '/^user root/d' /etc/libvirt/qemu.conf; systemctl reset-failed libvirtd",
        also=("libvirt_daemon.", "emulator.", "cpu."),
    ),
    # storage
    broken(
        "the shared storage is not mounted", f"umount {INSTANCES}", "shared_path.not-mounted", also=("shared_path.",)
    ),
    broken(
        "it would not be mounted after a reboot",
        rf"sed -i '\#{INSTANCES}#d' /etc/fstab; systemctl daemon-reload",
        "shared_path.not-at-boot",
        also=("glusterfs.",),
    ),
    broken(
        "it is mounted read-only",
        f"umount {INSTANCES} && mount -t glusterfs -o ro localhost:/instances {INSTANCES}",
        "shared_path.read-only",
        also=("shared_path.",),
    ),
    broken(
        "something else is mounted there",
        f"umount {INSTANCES} && mount -t tmpfs none {INSTANCES}",
        "shared_path.wrong-type",
        by_hand=f"umount {INSTANCES}",
        also=("shared_path.",),
    ),
    broken(
        "nobody but root may enter it",
        f"chmod 0700 {INSTANCES}; chown root:root {INSTANCES}",
        "shared_path.closed",
        also=("shared_path.", "glusterfs."),
        alone=True,
    ),
    broken(
        "GlusterFS does not run",
        "systemctl stop glusterd",
        "glusterfs.not-running",
        also=("glusterfs.", "shared_path."),
        alone=True,
    ),
    broken(
        "a brick is down",
        "pkill -9 glusterfsd",
        "glusterfs.brick-down",
        also=("glusterfs.",),
        alone=True,
    ),
    broken(
        "the volume writes without a quorum",
        "gluster --mode=script volume set instances cluster.quorum-type none",
        "glusterfs.no-quorum",
        alone=True,
    ),
    broken(
        "the volume belongs to another user",
        "gluster --mode=script volume set instances storage.owner-uid 4242",
        "glusterfs.volume-owner",
        also=("shared_path.",),
        alone=True,
    ),
    # the host itself, and the way to it
    broken(
        "no Python",
        "chmod 0000 /usr/bin/python3.13",
        "system.unreachable",
        by_hand="chmod 0755 /usr/bin/python3.13",
        also=("connections.", "ports.", "glusterfs.", "shared_path.", "identity.", "ssh."),
        alone=True,
    ),
    broken(
        "no SSH",
        # Stopping the units once left an sshd that still let everybody in: nothing may listen any more.
        "systemctl -q mask --runtime ssh.service ssh.socket; systemctl stop ssh.service ssh.socket; "
        "while ss -Hltn sport = :22 | grep -q .; do pkill -x sshd; sleep 0.1; done",
        "system.unreachable",
        by_hand="systemctl -q unmask --runtime ssh.service ssh.socket; systemctl start ssh.service",
        also=("glusterfs.", "shared_path.", "identity.", "ssh."),
        alone=True,
    ),
    broken(
        "/var/log is full",
        "mount -t tmpfs -o size=64k none /var/log; dd if=/dev/zero of=/var/log/x 2>/dev/null; true",
        "system.full",
        by_hand="umount /var/log",
    ),
    broken(
        "two hosts have one host UUID",
        "sed -i 's/^host_uuid.*/host_uuid = \"UUID\"/' /etc/libvirt/libvirtd.conf; systemctl try-restart libvirtd",
        "system.host-uuid",
        also=("libvirt_daemon.",),
        alone=True,
    ),
    broken(
        "a firewall closes libvirt's port",
        _CHAIN + "nft add rule inet t i tcp dport 16514 drop",
        "firewall.libvirt-closed",
        by_hand="nft delete table inet t",
        also=("firewall.",),
    ),
    broken(
        "a firewall closes the migration ports",
        _CHAIN + "nft add rule inet t i tcp dport 49152-49215 drop",
        "firewall.migration-closed",
        by_hand="nft delete table inet t",
        also=("firewall.", "glusterfs.", "shared_path."),
    ),
    # Nova and its consoles
    broken(
        "a forgotten nova.conf with the guides' old flags",
        "mkdir -p /etc/nova; printf '[libvirt]\\nlive_migration_flag = VIR_MIGRATE_LIVE\\n' > /etc/nova/nova.conf",
        "nova.old-live-migration-flag",
        by_hand="rm -r /etc/nova",
        also=("nova.", "consoles.", "shared_path.owner"),
    ),
)
