"""What a cluster file says: immutable, typed, each key checked by itself.

What contradicts between keys is known to ``contradictions``, what the file system says about the named files to
``named_files``; ``judge`` tells all mistakes, each with its line.
"""

import ipaddress
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from hotfoot.cluster.balance import Balance
from hotfoot.cluster.fence import Fence
from hotfoot.cluster.journal_url import check_journal_url, without_password
from hotfoot.cluster.keys import Checked, Section, Whole, told
from hotfoot.cluster.rule import Rule
from hotfoot.cluster.values import (
    Address,
    ChapUser,
    CloudName,
    Duration,
    HostPath,
    LocalPath,
    MountSource,
    Name,
    Network,
    Port,
    Portal,
    Rate,
    Source,
    Target,
    User,
    Uuid,
)
from hotfoot.errors import ExitStatus, HotfootError

Transport = Literal["tls", "ssh", "tcp"]
Step = Literal["downtime-limit", "throttle", "post-copy", "pause"]
BuiltInPolicy = Literal["gentle", "balanced", "must-finish", "large-memory"]
BUILT_IN_POLICIES: tuple[str, ...] = get_args(BuiltInPolicy)
StorageType = Literal["nfs", "glusterfs", "cephfs", "ocfs2", "gfs2", "local"]


@dataclass(frozen=True, kw_only=True)
class Ssh(Section):
    """How to reach a host by SSH; what is left out is taken from the operator's own ssh configuration."""

    user: User | None = field(default=None, metadata=told("User to log in as."))
    port: Port | None = field(default=None, metadata=told("Port of sshd."))
    key: LocalPath | None = field(default=None, metadata=told("Private key file; relative to this file's folder."))
    known_hosts: LocalPath | None = field(
        default=None, metadata=told("File with the hosts' public keys; relative to this file's folder.")
    )
    sudo: bool | None = field(
        default=None, metadata=told("Run commands on the host by sudo, without a password; by default not.")
    )


@dataclass(frozen=True, kw_only=True)
class Libvirt(Section):
    """How to talk to libvirt on each host."""

    transport: Transport = field(
        default="tls", metadata=told("tls (certificates), ssh, or tcp (neither encrypted nor authenticated).")
    )
    pki: LocalPath | None = field(
        default=None,
        metadata=told(
            "Folder with cacert.pem, clientcert.pem and clientkey.pem; only for tls. Without it "
            "libvirt's own default places."
        ),
    )
    port: Port | None = field(
        default=None, metadata=told("Port of libvirt for tls (usually 16514) or tcp (usually 16509).")
    )


@dataclass(frozen=True, kw_only=True)
class MigrationNetwork(Section):
    """Where the memory of moving instances flows."""

    network: Network | None = field(
        default=None,
        metadata=told("Network of the memory stream, such as 10.77.0.0/24: each host's address in it is used."),
    )
    user: User | None = field(
        default=None,
        metadata=told(
            "User that logs in from host to host without a password, such as nova; by default root where "
            "the transport is ssh, else nobody."
        ),
    )
    native_tls: bool = field(default=True, metadata=told("Have certificates for QEMU's own TLS ready on every host."))
    look_at_pages: bool = field(
        default=True,
        metadata=told("For a forecast look on the source which pages of the instance change; false: as libvirt does."),
    )


@dataclass(frozen=True, kw_only=True)
class Storage(Section):
    """A folder on the hosts in which disks of instances live."""

    path: HostPath = field(metadata=told("Absolute path on every host."))
    type: StorageType = field(metadata=told("File system; local means that each host has its own."))
    source: MountSource | None = field(
        default=None,
        metadata=told(
            "What is mounted there, as in fstab, such as nas:/srv/instances or localhost:/instances; by "
            "default what the servers give."
        ),
    )
    servers: tuple[Name, ...] = field(
        default=(),
        metadata=told(
            "Hosts of this file that serve it, and that `hotfoot prepare` sets up: one for nfs, one or three "
            "for glusterfs. Without any it is served from elsewhere."
        ),
    )
    folder: HostPath = field(
        default="/srv/hotfoot/instances", metadata=told("Where the servers keep it: the export, or GlusterFS's brick.")
    )
    volume: Name = field(default="instances", metadata=told("Name of the GlusterFS volume."))
    keyring: LocalPath | None = field(
        default=None,
        metadata=told(
            "CephFS: keyring on this machine with the key of the user that the source names, readable by "
            "nobody else, relative to this file's folder; `hotfoot prepare` gives the key to the hosts."
        ),
    )
    monitors: tuple[Address, ...] = field(
        default=(), metadata=told("CephFS: addresses of the monitors, for /etc/ceph/ceph.conf of hosts that have none.")
    )

    @property
    def mount_source(self) -> str | None:
        """What is mounted on ``path``, None where only the hosts know."""
        if self.source is not None or not self.servers:
            return self.source
        return f"localhost:/{self.volume}" if self.type == "glusterfs" else f"{self.servers[0]}:{self.folder}"

    @property
    def shared(self) -> bool:
        """Whether all hosts see the same files there."""
        return self.type != "local"


@dataclass(frozen=True, kw_only=True)
class Ceph(Section):
    """Pools of Ceph that QEMU reaches itself (RBD), without a folder on the hosts."""

    user: Name = field(metadata=told("Ceph user of QEMU, without client., such as cinder."))
    keyring: LocalPath | None = field(
        default=None,
        metadata=told(
            "Keyring with the user's key on this machine, readable by nobody else, relative to this file's "
            "folder; `hotfoot prepare` gives the key to the hosts."
        ),
    )
    secret: Uuid = field(metadata=told("UUID of the libvirt secret that holds the user's key: the same on every host."))
    monitors: tuple[Address, ...] = field(
        default=(), metadata=told("Addresses of the monitors, for /etc/ceph/ceph.conf of hosts that have none.")
    )
    pools: tuple[Name, ...] = field(
        default=(),
        metadata=told("Pools with disks of instances: every host proves that it writes, reads and locks there."),
    )


@dataclass(frozen=True, kw_only=True)
class Chap(Section):
    """How an iSCSI target is told who logs in (CHAP); its password is in no file of the hosts but libvirt's own."""

    user: ChapUser = field(metadata=told("User that the target knows."))
    password_file: LocalPath = field(
        metadata=told(
            "File with the password in its first line, readable by nobody else; relative to this file's folder."
        )
    )
    secret: Uuid = field(metadata=told("UUID of the libvirt secret that holds the password: the same on every host."))


@dataclass(frozen=True, kw_only=True)
class Iscsi(Section):
    """An iSCSI target of which every host sees the same LUNs."""

    portal: Portal = field(metadata=told("Address of the target's portal, with its port unless that is 3260."))
    target: Target = field(metadata=told("Name of the target (iqn. or eui.)."))
    initiator: Literal["host", "qemu"] = field(
        default="host",
        metadata=told(
            "Who logs in: every host, so that instances have its devices; or QEMU itself, for each instance."
        ),
    )
    chap: Chap | None = field(default=None, metadata=told("How QEMU proves who it is; only with initiator qemu."))


@dataclass(frozen=True, kw_only=True)
class Ids(Section):
    """Numbers of a user and its group, the same on every host."""

    uid: Annotated[int, Whole(1, 65_533)] | None = field(default=None, metadata=told("User number."))
    gid: Annotated[int, Whole(1, 65_533)] | None = field(default=None, metadata=told("Group number."))


@dataclass(frozen=True, kw_only=True)
class Identity(Section):
    """Numbers that `hotfoot prepare` gives; without them it takes those most hosts have, or free ones."""

    nova: Ids = field(default=Ids(), metadata=told("User and group nova."))
    qemu: Ids = field(default=Ids(), metadata=told("QEMU's user (libvirt-qemu or qemu) and its group (kvm or qemu)."))


@dataclass(frozen=True, kw_only=True)
class Cpu(Section):
    """The CPU that every instance may count on; `hotfoot prepare --topic cpu` writes one that all hosts run."""

    model: Name | None = field(default=None, metadata=told("A libvirt CPU model."))
    features: tuple[str, ...] = field(default=(), metadata=told("Features on top of the model; -name takes one away."))
    instances: bool = field(
        default=False,
        metadata=told(
            "Whether `hotfoot prepare` gives the model to definitions of instances that cannot go to every "
            "host with the CPU they have, for their next start. Those of Nova get theirs from nova.conf."
        ),
    )


@dataclass(frozen=True, kw_only=True)
class _Goals(Section):
    """What every policy may say."""

    max_downtime_ms: Annotated[int, Whole(1, 2_000_000)] | None = field(
        default=None,
        metadata=told("The greatest downtime limit, in ms, to which QEMU's own 300 may be raised; less is kept to."),
    )  # 2,000 s is the most that QEMU takes (MAX_MIGRATE_DOWNTIME)
    deadline_ms: Duration | None = field(
        default=None, metadata=told("When a migration must have ended, such as 10m.", alias="deadline")
    )
    steps: tuple[Step, ...] | None = field(
        default=None, metadata=told("What may be done so that it ends, in this order; an empty list: nothing.")
    )
    throttle_percent: Annotated[int, Whole(1, 99)] | None = field(
        default=None, metadata=told("How far the vCPUs may be slowed down, where a step allows it.")
    )
    parallel: Annotated[int, Whole(0, 255)] | None = field(
        default=None,
        metadata=told("Parallel connections for the memory stream; 0, the default, for a single plain one."),
    )
    compress: bool | None = field(default=None, metadata=told("Compress the memory stream."))


@dataclass(frozen=True, kw_only=True)
class Policy(_Goals):
    """What hotfoot migrate does unless its options say otherwise."""

    base: Name = field(default="balanced", metadata=told("The policy whose goals and steps hold where none are given."))
    bandwidth_bytes_per_s: Rate | None = field(
        default=None, metadata=told("Most that one migration may send, such as 800Mbit/s.", alias="bandwidth")
    )
    native_tls: bool = field(default=False, metadata=told("Encrypt the memory stream by QEMU's own TLS."))


@dataclass(frozen=True, kw_only=True)
class NamedPolicy(_Goals):
    """A policy of the operator's own, for --policy, policy.base and policy_of."""

    name: Name = field(metadata=told("Name of the policy."))
    base: BuiltInPolicy = field(default="balanced", metadata=told("The built-in policy that it starts from."))


@dataclass(frozen=True, kw_only=True)
class Journal(Section):
    """Where `hotfoot migrate` keeps what it did."""

    url: Annotated[str, Checked(check_journal_url, shown=without_password)] | None = field(
        default=None,
        repr=False,
        metadata=told(
            "postgresql://USER@HOST/DATABASE for several controllers, its password best in ~/.pgpass, or "
            "sqlite:////PATH; by default a file of the user's own."
        ),
    )


@dataclass(frozen=True, kw_only=True)
class OpenStack(Section):
    """The OpenStack cloud whose instances these are; its login is in clouds.yaml or in OS_* variables, never here."""

    cloud: CloudName | None = field(
        default=None,
        metadata=told("Name of the cloud in clouds.yaml; by default what OS_CLOUD or the OS_* variables say."),
    )
    region: CloudName | None = field(
        default=None, metadata=told("Region of the cloud; by default the one in clouds.yaml or OS_REGION_NAME.")
    )
    clouds_file: LocalPath | None = field(
        default=None,
        metadata=told(
            "A clouds.yaml of its own, relative to this file's folder; by default where all OpenStack clients look."
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Host(Section):
    """A machine that runs instances."""

    name: Name = field(metadata=told("Name of the host, used in all commands."))
    address: Address = field(metadata=told("Management address: IP address or DNS name, for SSH and libvirt."))
    migration_address: Address | None = field(
        default=None, metadata=told("Address that receives the memory stream; overrides migration.network.")
    )
    zone: Name | None = field(
        default=None, metadata=told("Zone that it is in, such as its rack: for rules over zones.")
    )
    ssh: Ssh = field(default=Ssh(), metadata=told("What differs from the common ssh section on this host."))
    fence: Fence | None = field(
        default=None, metadata=told("How this host is switched off, in place of the common one.")
    )


@dataclass(frozen=True, kw_only=True)
class Cluster(Section):
    """A cluster file: the hosts, how to reach them, and defaults."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        **Section.__pydantic_config__,
        "json_schema_extra": {"anyOf": [{"required": ["hosts"]}, {"required": ["openstack"]}]},
    }

    name: Name = field(default="cluster", metadata=told("Name of the cluster, shown in reports."))
    ssh: Ssh = field(default=Ssh(), metadata=told("SSH access to all hosts."))
    libvirt: Libvirt = field(default=Libvirt(), metadata=told("Connection to libvirt on all hosts."))
    migration: MigrationNetwork = field(default=MigrationNetwork(), metadata=told("Network of the memory stream."))
    storage: tuple[Storage, ...] = field(default=(), metadata=told("Where the disks of instances live."))
    ceph: Ceph | None = field(default=None, metadata=told("Disks of instances in Ceph pools."))
    iscsi: tuple[Iscsi, ...] = field(default=(), metadata=told("iSCSI targets that every host is logged in to."))
    identity: Identity = field(default=Identity(), metadata=told("Numbers of nova and of QEMU's user on all hosts."))
    cpu: Cpu = field(default=Cpu(), metadata=told("The CPU that all hosts can run."))
    policy: Policy = field(default=Policy(), metadata=told("Defaults of hotfoot migrate."))
    policies: tuple[NamedPolicy, ...] = field(default=(), metadata=told("Policies beside the built-in ones."))
    policy_of: dict[str, Name] = field(
        default_factory=dict,
        metadata=told("Policies of single instances, by name or UUID, in place of the default one."),
    )
    rules: tuple[Rule, ...] = field(
        default=(), metadata=told("Instances that belong together, or apart: for all that plans for whole hosts.")
    )
    balance: Balance = field(default=Balance(), metadata=told("How hotfoot balance judges, and when it may act."))
    journal: Journal = field(default=Journal(), metadata=told("Where migrations are kept."))
    fence: Fence | None = field(default=None, metadata=told("How hosts are switched off before an evacuation."))
    controllers: tuple[Source, ...] = field(
        default=(),
        metadata=told(
            "Addresses and networks that may reach libvirt and the consoles of the hosts: with any given, `hotfoot "
            "prepare` closes these, and the ports of migrations and storage, to everyone but them and the hosts."
        ),
    )
    openstack: OpenStack | None = field(default=None, metadata=told("The OpenStack cloud; without it, plain libvirt."))
    hosts: tuple[Host, ...] = field(
        default=(),
        metadata=told(
            "The hosts of this cluster. With openstack: those compute hosts that can be reached by SSH and "
            "libvirt too, named as Nova names them; none are needed."
        ),
    )

    def host(self, name: str) -> Host:
        """Find a host by its name; raises HotfootError (USAGE) that offers near names."""
        for host in self.hosts:
            if host.name == name:
                return host
        names = [host.name for host in self.hosts]
        from difflib import get_close_matches

        near = get_close_matches(name, names, n=3) or (names if len(names) <= 8 else [])
        hint = f"did you mean {' or '.join(near)}?" if near else f"it has {len(names)} hosts; see `hotfoot hosts`."
        raise HotfootError(f'no host "{name}" in cluster {self.name}; {hint}', ExitStatus.USAGE)

    @property
    def host_names(self) -> tuple[str, ...] | None:
        """The names of all its hosts; None for an OpenStack cloud, of which Nova tells which there are."""
        return None if self.openstack else tuple(host.name for host in self.hosts)

    def ssh_of(self, host: Host) -> Ssh:
        """SSH access to one host: the common section, overridden by each key that the host itself gives."""
        given = {key.name: value for key in fields(Ssh) if (value := getattr(host.ssh, key.name)) is not None}
        return replace(self.ssh, **{"sudo": bool(self.ssh.sudo), **given})

    def fence_of(self, host: Host) -> Fence | None:
        """How a host is switched off: its own way, or the common one, with the host's name and address in it."""
        fence = host.fence or self.fence
        return None if fence is None else fence.of(host.name, host.address)

    def resolved(self) -> Self:
        """Give the same cluster with every host's SSH access and migration address written out."""
        hosts = tuple(
            replace(host, ssh=self.ssh_of(host), migration_address=self.migration_address_of(host))
            for host in self.hosts
        )
        return replace(self, hosts=hosts)

    @property
    def migration_user(self) -> str | None:
        """Who logs in from host to host: the declared user, root where libvirt goes by SSH, else nobody."""
        return self.migration.user or ("root" if self.libvirt.transport == "ssh" else None)

    def migration_address_of(self, host: Host) -> str | None:
        """Where the host receives the memory stream, as far as the file tells.

        The declared address; else the management address if it lies in ``migration.network``; else None:
        with a network declared the host itself has to be asked, without one libvirt chooses.
        """
        if host.migration_address is not None:
            return host.migration_address
        if self.migration.network is not None and in_network(host.address, self.migration.network) is True:
            return host.address
        return None


def in_network(address: str, network: str) -> bool | None:
    """Whether the address lies in the network; None for a DNS name, which cannot be known without asking."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network)
    except ValueError:
        return None
