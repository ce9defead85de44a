"""What hosts told about themselves: the probe's answer, typed, and what pairs of hosts proved together.

The form is the probe's (``reach/probe/host_probe.py``): one JSON object per host, each key a section here. A section
that the host could not tell is None, and ``failures`` says why; nothing is ever assumed in its place. Nothing here
is secret: the probe leaves private keys and passwords on the host (``Text.content`` has marks in their place).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Fact(BaseModel):
    # Later probes may tell more than this version knows; what it knows must be of the right type.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Text(_Fact):
    """A configuration file. ``content`` is None where it is not there, unreadable or larger than 256 KiB."""

    path: str
    exists: bool = False
    content: str | None = None
    """Values of passwords are replaced by marks ``@secret:N@``, which the applier puts back on the host."""
    sha256: str = ""
    """Of the real content, secrets included."""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    link_to: str | None = None
    """Where a symbolic link points."""
    hung: bool = False
    """The file system did not answer in time: nothing else is known."""


class PathFact(_Fact):
    """A file or folder of which only the outside matters (private keys, storage folders, devices)."""

    path: str
    exists: bool = False
    kind: str = ""
    """``file``, ``folder``, ``link``, ``block``, ``character``, ``socket`` or ``other``."""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size_bytes: int = 0
    public_key_sha256: str = ""
    """Of a private key: digest of its public half in DER, to compare with a certificate's; else empty."""
    hung: bool = False
    """The file system did not answer in time (a dead NFS server): nothing else is known."""


class OsFact(_Fact):
    """The operating system."""

    id: str
    """``ID`` of /etc/os-release: debian, ubuntu, rhel, rocky, almalinux, centos, fedora ..."""
    id_like: str = ""
    version: str = ""
    """``VERSION_ID``: 12, 24.04, 9.4 ..."""
    name: str = ""
    kernel: str = ""
    arch: str = ""
    machine_id: str = ""
    python: str = ""
    systemd: bool = False
    selinux: str = ""
    """enforcing, permissive, disabled, or empty where the kernel has none."""
    apparmor: bool = False

    @property
    def debian_like(self) -> bool:
        """Whether it has apt, and Debian's names of users and packages."""
        return "debian" in (self.id, *self.id_like.split()) or self.id == "ubuntu"

    @property
    def redhat_like(self) -> bool:
        """Whether it has dnf, and Red Hat's names of users and packages."""
        return bool({"rhel", "fedora", "centos"} & {self.id, *self.id_like.split()})


class NameFact(_Fact):
    """Names: the host's own, and what each name of the cluster resolves to here (IP addresses in order)."""

    hostname: str
    fqdn: str = ""
    resolved: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """A name that does not resolve has an empty tuple."""
    addresses: tuple[str, ...] = ()
    """All IP addresses of the host's links, loopback's left out."""
    links: tuple[str, ...] | None = None
    """Names of all network links, bridges among them; None where they were not asked for."""


class ClockFact(_Fact):
    """The clock against the controller's: set by the controller from the times of sending and answering."""

    now_s: float
    synchronised: bool | None = None
    offset_s: float | None = None
    """Host's less controller's; None until compared."""
    uncertainty_s: float = 0.0
    """Half of the round trip."""


class UserFact(_Fact):
    """A line of /etc/passwd."""

    name: str
    uid: int
    gid: int
    home: str = ""
    shell: str = ""


class GroupFact(_Fact):
    """A line of /etc/group."""

    name: str
    gid: int
    members: tuple[str, ...] = ()


class IdentityFact(_Fact):
    """All users and groups (local files only), and who has processes."""

    users: tuple[UserFact, ...] = ()
    groups: tuple[GroupFact, ...] = ()
    processes: dict[int, int] = Field(default_factory=dict)
    """Number of processes by UID, for the UIDs of nova and QEMU's user only."""
    unowned: tuple[str, ...] = ()
    """Files below the folders of nova and libvirt whose owner or group has no name (at most 20)."""
    misowned: tuple[str, ...] = ()
    """Files below /var/lib/nova that do not belong to nova's UID, instances' disks left out (at most 20)."""

    def user(self, name: str) -> UserFact | None:
        """Return a user by name."""
        return next((user for user in self.users if user.name == name), None)

    def group(self, name: str) -> GroupFact | None:
        """Return a group by name."""
        return next((group for group in self.groups if group.name == name), None)


class UnitFact(_Fact):
    """A systemd unit, as ``systemctl show`` tells: not-found, masked and so on are ``load`` states."""

    name: str
    load: str = ""
    active: str = ""
    enabled: str = ""
    """``UnitFileState``: enabled, disabled, static, masked ..."""


class Listener(_Fact):
    """A TCP socket that listens."""

    address: str
    port: int


class FirewallFact(_Fact):
    """What filters packets that come in."""

    kind: str = ""
    """nftables, firewalld, ufw, iptables; empty where nothing filters."""
    ruleset: dict[str, Any] | None = None
    """``nft -j list ruleset``, None where nft is not there."""
    details: str = ""
    """What firewall-cmd or ufw says of itself, verbatim."""
    iptables: str = ""
    """``iptables -S`` where that is what filters, or what made rules in ``ruleset``."""


class Certificate(_Fact):
    """A certificate file: the PEM text itself, which is public."""

    path: str
    exists: bool = False
    pem: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0


class PkiFact(_Fact):
    """Certificates and private keys in the places of libvirt and QEMU."""

    certificates: tuple[Certificate, ...] = ()
    keys: tuple[PathFact, ...] = ()

    def certificate(self, path: str) -> Certificate | None:
        """Return a certificate by path, None where there is none."""
        return next((each for each in self.certificates if each.path == path and each.exists), None)

    def key(self, path: str) -> PathFact | None:
        """Return a private key by path, None where there is none."""
        return next((each for each in self.keys if each.path == path and each.exists), None)


class LibvirtFact(_Fact):
    """The host's own libvirt, as a local connection tells."""

    answers: bool
    problem: str = ""
    version: str = ""
    host_uuid: str = ""
    modular: bool = False
    """virtqemud and its like rather than one libvirtd."""
    arguments: str = ""
    """Command line of a running libvirtd."""
    hypervisor_cpu: str = ""
    """``virsh domcapabilities``: XML text."""
    capabilities: str = ""
    """``virsh capabilities``: XML text."""
    secrets: dict[str, str] = Field(default_factory=dict)
    """Usage name of each defined secret by UUID, never a value."""
    pools: dict[str, str] = Field(default_factory=dict)
    """Target path of each storage pool by name."""
    active_pools: tuple[str, ...] | None = None
    """Names of those that are active; None where that is not known."""
    networks: tuple[str, ...] | None = None
    """Names of libvirt's active networks; None where they were not asked for."""
    running: tuple[str, ...] = ()
    """Names of the instances that run here."""
    domains: dict[str, str] = Field(default_factory=dict)
    """Definition (XML without secrets) of each instance by name; of one that runs, as it runs."""
    defined_cpus: dict[str, str] = Field(default_factory=dict)
    """What counts from its next start of each instance that is kept when it is shut off, by name: the lines of
    ``<cpu>``, empty where its definition says nothing of it."""


class QemuFact(_Fact):
    """QEMU: its program and version, and who its running processes are."""

    emulator: str = ""
    version: str = ""
    machines: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    """Block drivers that come as modules and are installed: rbd, iscsi, nfs, gluster ..."""
    userfaultfd: bool | None = None
    """Whether QEMU's user may use userfaultfd, which post-copy needs."""
    process_uids: tuple[int, ...] = ()
    """UIDs of running QEMU processes."""


class MountFact(_Fact):
    """A line of /proc/self/mountinfo."""

    target: str
    source: str
    fs_type: str
    options: str = ""


class FolderFact(_Fact):
    """A declared storage path: what is mounted there, and what room it has."""

    path: str
    exists: bool = False
    mount: MountFact | None = None
    """The file system that the path is on (the nearest mount above it)."""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    free_bytes: int = 0
    free_inodes: int = 0
    entries: int = 0
    """Number of names in it."""
    below_entries: int | None = None
    """Names in the local folder that the mount hides, where that could be seen."""
    xattr: bool | None = None
    hung: bool = False
    problem: str = ""
    """What the file system says instead of answering (stale file handle, transport endpoint is not connected)."""
    open_by: tuple[str, ...] = ()
    """Running instances with disks below it."""


class BlockDeviceFact(_Fact):
    """A block device that could be a LUN."""

    name: str
    wwid: str = ""
    size_bytes: int = 0
    transport: str = ""
    paths: tuple[str, ...] = ()
    """Its names below /dev/disk/by-path, whole."""


class StorageFact(_Fact):
    """Declared storage paths, mounts, and what the storage clients and servers on this host say."""

    folders: tuple[FolderFact, ...] = ()
    mounts: tuple[MountFact, ...] = ()
    kernel_filesystems: tuple[str, ...] = ()
    cephfs_in_kernel: bool | None = None
    """Whether the running kernel has CephFS, or a module of it; None where it was not asked for."""
    exports: str = ""
    """``exportfs -v`` where an NFS server runs."""
    gluster_peers: str = ""
    """Peers, this host too, in the form of ``gluster pool list``."""
    gluster_volumes: str = ""
    """``gluster volume info all --xml``."""
    gluster_status: str = ""
    """``gluster volume status all --xml``."""
    gluster_heal: dict[str, int] = Field(default_factory=dict)
    """Entries that this host's own bricks have still to give to others, by volume; only of bricks that are here."""
    iscsi_sessions: tuple[str, ...] = ()
    """Target names that this host is logged in to."""
    iscsi_initiator: str = ""
    iscsi_records: dict[str, str] | None = None
    """Targets that the host's client knows, and ``automatic`` where any record of one is logged in to at boot; else
    ``manual``. None where it was not asked for."""
    block_devices: tuple[BlockDeviceFact, ...] = ()
    ceph_health: str = ""

    def folder(self, path: str) -> FolderFact | None:
        """Return what is known of a declared path."""
        return next((each for each in self.folders if each.path == path), None)


class SshFact(_Fact):
    """sshd and its keys; the migration user's own SSH files."""

    host_keys: tuple[str, ...] = ()
    """Public host keys, ``type base64``."""
    effective: dict[str, str] = Field(default_factory=dict)
    """``sshd -T``, keys in lower case; values of a key that is given several times are lines."""
    config_valid: bool | None = None
    """Whether ``sshd -t`` accepts the configuration."""
    config_problem: str = ""
    public_keys: tuple[str, ...] = ()
    """The migration user's own public keys, ``type base64``."""
    authorized: tuple[str, ...] = ()
    """``type base64`` of each line of the migration user's authorized_keys."""


class HostFacts(_Fact):
    """All that one host told in one round trip."""

    host: str
    """Its name in the cluster file."""
    probe: int = 1
    """Version of the probe's form."""
    elapsed_s: float = 0.0
    os: OsFact | None = None
    names: NameFact | None = None
    clock: ClockFact | None = None
    identity: IdentityFact | None = None
    units: dict[str, UnitFact] = Field(default_factory=dict)
    packages: dict[str, str] = Field(default_factory=dict)
    """Version by name, of the packages that matter; what is not installed is not there."""
    listeners: tuple[Listener, ...] | None = None
    firewall: FirewallFact | None = None
    came_from: str = ""
    """The address that the probe's SSH session came from, as the host sees it; empty where it cannot be told."""
    pki: PkiFact | None = None
    libvirt: LibvirtFact | None = None
    qemu: QemuFact | None = None
    storage: StorageFact | None = None
    ssh: SshFact | None = None
    files: dict[str, Text] = Field(default_factory=dict)
    paths: dict[str, PathFact] = Field(default_factory=dict)
    free_bytes: dict[str, int] = Field(default_factory=dict)
    """Room on the file systems of /, /var, /var/log, /tmp and /boot."""
    failures: dict[str, str] = Field(default_factory=dict)
    """Why a section is missing, by its name; by ``section.part`` where only a part of it is."""

    def owner_of(self, uid: int, gid: int) -> str:
        """Return ``user:group`` for numbers, the numbers themselves where they have no name."""
        users = {user.uid: user.name for user in self.identity.users} if self.identity else {}
        groups = {group.gid: group.name for group in self.identity.groups} if self.identity else {}
        return f"{users.get(uid, str(uid))}:{groups.get(gid, str(gid))}"

    def text(self, path: str) -> str:
        """Return a file's content, empty where it has none or is not there."""
        file = self.files.get(path)
        return (file.content or "") if file else ""


class Silence(_Fact):
    """A host that gave no facts: why, in the operator's words."""

    host: str
    reason: str


class PairProof(_Fact):
    """What ``source`` saw of ``destination`` when both were tried together; None: not tried."""

    source: str
    destination: str
    ssh: str | None = None
    """Login as the migration user from source to destination: "" worked, else what it said."""
    libvirt: str | None = None
    """A libvirt connection from source to destination over the declared transport: "" worked, else what it said."""
    ports: dict[int, str] = Field(default_factory=dict)
    """``open``, ``refused`` or ``filtered``, by port of the destination."""


class SharedProof(_Fact):
    """What ``reader`` saw of the token that ``writer`` wrote into a storage path."""

    path: str
    writer: str
    reader: str
    problem: str = ""
    """Why the trial itself failed on the writer or reader; then nothing below is known."""
    failed_on: str = ""
    """Which of the two it failed on, where there is a problem."""
    same: bool | None = None
    """The reader read the very token."""
    writer_uid: int | None = None
    writer_gid: int | None = None
    reader_uid: int | None = None
    reader_gid: int | None = None
    lock_refused: bool | None = None
    """The reader was refused the lock that the writer held."""
    lock_error: str = ""
    """What the file system said where it cannot lock at all, on the writer or the reader."""
    direct: bool | None = None
    """O_DIRECT reading worked on the reader."""


class TargetProof(_Fact):
    """What a host saw of an iSCSI target when it logged in as QEMU's own initiator does."""

    host: str
    target: str
    problem: str = ""
    """Why it saw nothing."""
    status: int = 0
    """Of the login, class and detail in one number (513: authentication failure); 0 where there was none, or it is
    well."""
    luns: dict[int, str] = Field(default_factory=dict)
    """The disks it saw: worldwide name (``naa.``, ``eui.``, ``t10.`` and so on; empty if it has none) by number."""
    secret: Literal["same", "other", "missing", ""] = ""
    """Whether libvirt's secret on the host holds the password that the cluster file names; empty: not known."""


class PoolProof(_Fact):
    """What ``reader`` saw of the token that ``writer`` wrote into a pool of Ceph, each with the key that QEMU gets."""

    pool: str
    writer: str
    reader: str
    problem: str = ""
    """Why the trial itself failed on the writer or reader; then nothing below is known."""
    failed_on: str = ""
    """Which of the two it failed on, where there is a problem."""
    refused: bool = False
    """The problem is that Ceph did not take the key."""
    same: bool | None = None
    """The reader read the very token."""
    lock_refused: bool | None = None
    """The reader was refused the lock that the writer held."""
    lock_error: str = ""
    """What Ceph said where the writer or the reader could not lock at all."""


class Proofs(_Fact):
    """What hosts proved two by two."""

    pairs: tuple[PairProof, ...] = ()
    shared: tuple[SharedProof, ...] = ()
    pools: tuple[PoolProof, ...] = ()
    targets: tuple[TargetProof, ...] = ()
    problems: dict[str, str] = Field(default_factory=dict)
    """Hosts that could not take part, and why."""


class Facts(_Fact):
    """All recorded facts of a cluster, in the order of the cluster file."""

    hosts: tuple[HostFacts, ...] = ()
    silent: tuple[Silence, ...] = ()
    proofs: Proofs | None = None
    """None where only single hosts were looked at."""
    cpu_baseline: str = ""
    """libvirt's baseline of all hosts' hypervisor CPUs (XML, ``<cpu>``); empty where it was not computed."""
    cpu_baseline_problem: str = ""
    """Why libvirt could not compute it."""
    cpu_verdicts: dict[str, dict[str, str]] = Field(default_factory=dict)
    """What a host's hypervisor lacks of guests' CPUs, by host (one of each kind) and ``<cpu>`` (XML), in words; empty
    where it can run them."""

    @property
    def by_name(self) -> Mapping[str, HostFacts]:
        """The hosts that answered, by name."""
        return {host.host: host for host in self.hosts}
