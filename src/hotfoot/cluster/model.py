"""What a cluster file says: immutable, typed, each key checked by itself.

What contradicts between keys, and what the file system says about the named files, is judged in
``contradictions``; where a mistake stands in the file is known to ``file``.
"""

import ipaddress
from difflib import get_close_matches
from typing import Annotated, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    field_serializer,
)

from hotfoot.cluster.balance import Balance
from hotfoot.cluster.journal_url import check_journal_url, without_password
from hotfoot.cluster.rule import Rule
from hotfoot.cluster.values import (
    Address,
    ChapUser,
    CloudName,
    Duration,
    FenceWord,
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


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Ssh(_Section):
    """How to reach a host by SSH; what is left out is taken from the operator's own ssh configuration."""

    user: User | None = Field(default=None, description="User to log in as.")
    port: Port | None = Field(default=None, description="Port of sshd.")
    key: LocalPath | None = Field(default=None, description="Private key file; relative to this file's folder.")
    known_hosts: LocalPath | None = Field(
        default=None, description="File with the hosts' public keys; relative to this file's folder."
    )
    sudo: bool = Field(default=False, description="Run commands on the host by sudo, without a password.")


class Libvirt(_Section):
    """How to talk to libvirt on each host."""

    transport: Transport = Field(
        default="tls", description="tls (certificates), ssh, or tcp (neither encrypted nor authenticated)."
    )
    pki: LocalPath | None = Field(
        default=None,
        description="Folder with cacert.pem, clientcert.pem and clientkey.pem; only for tls. Without it "
        "libvirt's own default places.",
    )
    port: Port | None = Field(
        default=None, description="Port of libvirt for tls (usually 16514) or tcp (usually 16509)."
    )


class MigrationNetwork(_Section):
    """Where the memory of moving instances flows."""

    network: Network | None = Field(
        default=None,
        description="Network of the memory stream, such as 10.77.0.0/24: each host's address in it is used.",
    )
    user: User | None = Field(
        default=None,
        description="User that logs in from host to host without a password, such as nova; by default root where "
        "the transport is ssh, else nobody.",
    )
    native_tls: bool = Field(default=True, description="Have certificates for QEMU's own TLS ready on every host.")
    look_at_pages: bool = Field(
        default=True,
        description="For a forecast look on the source which pages of the instance change; false: as libvirt does.",
    )


class Storage(_Section):
    """A folder on the hosts in which disks of instances live."""

    path: HostPath = Field(description="Absolute path on every host.")
    type: StorageType = Field(description="File system; local means that each host has its own.")
    source: MountSource | None = Field(
        default=None,
        description="What is mounted there, as in fstab, such as nas:/srv/instances or localhost:/instances; by "
        "default what the servers give.",
    )
    servers: tuple[Name, ...] = Field(
        default=(),
        description="Hosts of this file that serve it, and that `hotfoot prepare` sets up: one for nfs, one or three "
        "for glusterfs. Without any it is served from elsewhere.",
    )
    folder: HostPath = Field(
        default="/srv/hotfoot/instances", description="Where the servers keep it: the export, or GlusterFS's brick."
    )
    volume: Name = Field(default="instances", description="Name of the GlusterFS volume.")
    keyring: LocalPath | None = Field(
        default=None,
        description="CephFS: keyring on this machine with the key of the user that the source names, readable by "
        "nobody else, relative to this file's folder; `hotfoot prepare` gives the key to the hosts.",
    )
    monitors: tuple[Address, ...] = Field(
        default=(), description="CephFS: addresses of the monitors, for /etc/ceph/ceph.conf of hosts that have none."
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


class Ceph(_Section):
    """Pools of Ceph that QEMU reaches itself (RBD), without a folder on the hosts."""

    user: Name = Field(description="Ceph user of QEMU, without client., such as cinder.")
    keyring: LocalPath | None = Field(
        default=None,
        description="Keyring with the user's key on this machine, readable by nobody else, relative to this file's "
        "folder; `hotfoot prepare` gives the key to the hosts.",
    )
    secret: Uuid = Field(description="UUID of the libvirt secret that holds the user's key: the same on every host.")
    monitors: tuple[Address, ...] = Field(
        default=(), description="Addresses of the monitors, for /etc/ceph/ceph.conf of hosts that have none."
    )
    pools: tuple[Name, ...] = Field(
        default=(),
        description="Pools with disks of instances: every host proves that it writes, reads and locks there.",
    )


class Chap(_Section):
    """How an iSCSI target is told who logs in (CHAP); its password is in no file of the hosts but libvirt's own."""

    user: ChapUser = Field(description="User that the target knows.")
    password_file: LocalPath = Field(
        description="File with the password in its first line, readable by nobody else; relative to this file's folder."
    )
    secret: Uuid = Field(description="UUID of the libvirt secret that holds the password: the same on every host.")


class Iscsi(_Section):
    """An iSCSI target of which every host sees the same LUNs."""

    portal: Portal = Field(description="Address of the target's portal, with its port unless that is 3260.")
    target: Target = Field(description="Name of the target (iqn. or eui.).")
    initiator: Literal["host", "qemu"] = Field(
        default="host",
        description="Who logs in: every host, so that instances have its devices; or QEMU itself, for each instance.",
    )
    chap: Chap | None = Field(default=None, description="How QEMU proves who it is; only with initiator qemu.")


class Ids(_Section):
    """Numbers of a user and its group, the same on every host."""

    uid: Annotated[int, Strict(), Field(ge=1, le=65_533)] | None = Field(default=None, description="User number.")
    gid: Annotated[int, Strict(), Field(ge=1, le=65_533)] | None = Field(default=None, description="Group number.")


class Identity(_Section):
    """Numbers that `hotfoot prepare` gives; without them it takes those most hosts have, or free ones."""

    nova: Ids = Field(default=Ids(), description="User and group nova.")
    qemu: Ids = Field(default=Ids(), description="QEMU's user (libvirt-qemu or qemu) and its group (kvm or qemu).")


class Cpu(_Section):
    """The CPU that every instance may count on; `hotfoot prepare --topic cpu` writes one that all hosts run."""

    model: Name | None = Field(default=None, description="A libvirt CPU model.")
    features: tuple[str, ...] = Field(default=(), description="Features on top of the model; -name takes one away.")
    instances: bool = Field(
        default=False,
        description="Whether `hotfoot prepare` gives the model to definitions of instances that cannot go to every "
        "host with the CPU they have, for their next start. Those of Nova get theirs from nova.conf.",
    )


class _Goals(_Section):
    """What every policy may say."""

    max_downtime_ms: Annotated[int, Strict(), Field(ge=1, le=2_000_000)] | None = Field(
        default=None,
        description="The greatest downtime limit, in ms, to which QEMU's own 300 may be raised; less is kept to.",
    )  # 2,000 s is the most that QEMU takes (MAX_MIGRATE_DOWNTIME)
    deadline_ms: Duration | None = Field(
        default=None, alias="deadline", description="When a migration must have ended, such as 10m."
    )
    steps: tuple[Step, ...] | None = Field(
        default=None, description="What may be done so that it ends, in this order; an empty list: nothing."
    )
    throttle_percent: Annotated[int, Strict(), Field(ge=1, le=99)] | None = Field(
        default=None, description="How far the vCPUs may be slowed down, where a step allows it."
    )
    parallel: Annotated[int, Strict(), Field(ge=0, le=255)] | None = Field(
        default=None, description="Parallel connections for the memory stream; 0, the default, for a single plain one."
    )
    compress: bool | None = Field(default=None, description="Compress the memory stream.")


class Policy(_Goals):
    """What hotfoot migrate does unless its options say otherwise."""

    base: Name = Field(default="balanced", description="The policy whose goals and steps hold where none are given.")
    bandwidth_bytes_per_s: Rate | None = Field(
        default=None, alias="bandwidth", description="Most that one migration may send, such as 800Mbit/s."
    )
    native_tls: bool = Field(default=False, description="Encrypt the memory stream by QEMU's own TLS.")


class NamedPolicy(_Goals):
    """A policy of the operator's own, for --policy, policy.base and policy_of."""

    name: Name = Field(description="Name of the policy.")
    base: BuiltInPolicy = Field(default="balanced", description="The built-in policy that it starts from.")


class Journal(_Section):
    """Where `hotfoot migrate` keeps what it did."""

    url: Annotated[str, AfterValidator(check_journal_url)] | None = Field(
        default=None,
        description="postgresql://USER@HOST/DATABASE for several controllers, its password best in ~/.pgpass, or "
        "sqlite:////PATH; by default a file of the user's own.",
        repr=False,
    )

    @field_serializer("url")
    def _hide_password(self, url: str | None) -> str | None:
        return None if url is None else without_password(url)


class OpenStack(_Section):
    """The OpenStack cloud whose instances these are; its login is in clouds.yaml or in OS_* variables, never here."""

    cloud: CloudName | None = Field(
        default=None,
        description="Name of the cloud in clouds.yaml; by default what OS_CLOUD or the OS_* variables say.",
    )
    region: CloudName | None = Field(
        default=None, description="Region of the cloud; by default the one in clouds.yaml or OS_REGION_NAME."
    )
    clouds_file: LocalPath | None = Field(
        default=None,
        description="A clouds.yaml of its own, relative to this file's folder; by default where all OpenStack clients "
        "look.",
    )


class Fence(_Section):
    """How a host is switched off for certain, before `hotfoot evacuate` starts its instances elsewhere."""

    command: Annotated[tuple[FenceWord, ...], Field(min_length=1)] = Field(
        description="Program and arguments, run on this machine without a shell; {host} and {address} stand for the "
        "host. Ending with 0 says that the host is off. Secrets belong into files or the environment."
    )
    timeout_ms: Duration | None = Field(
        default=None, alias="timeout", description="How long it may take, such as 3m; by default 2m."
    )

    @property
    def timeout_s(self) -> float:
        """How long it may take."""
        return (120_000 if self.timeout_ms is None else self.timeout_ms) / 1000


class Host(_Section):
    """A machine that runs instances."""

    name: Name = Field(description="Name of the host, used in all commands.")
    address: Address = Field(description="Management address: IP address or DNS name, for SSH and libvirt.")
    migration_address: Address | None = Field(
        default=None, description="Address that receives the memory stream; overrides migration.network."
    )
    zone: Name | None = Field(default=None, description="Zone that it is in, such as its rack: for rules over zones.")
    ssh: Ssh = Field(default=Ssh(), description="What differs from the common ssh section on this host.")
    fence: Fence | None = Field(default=None, description="How this host is switched off, in place of the common one.")


class Cluster(_Section):
    """A cluster file: the hosts, how to reach them, and defaults."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["hosts"]}, {"required": ["openstack"]}]},
    )

    name: Name = Field(default="cluster", description="Name of the cluster, shown in reports.")
    ssh: Ssh = Field(default=Ssh(), description="SSH access to all hosts.")
    libvirt: Libvirt = Field(default=Libvirt(), description="Connection to libvirt on all hosts.")
    migration: MigrationNetwork = Field(default=MigrationNetwork(), description="Network of the memory stream.")
    storage: tuple[Storage, ...] = Field(default=(), description="Where the disks of instances live.")
    ceph: Ceph | None = Field(default=None, description="Disks of instances in Ceph pools.")
    iscsi: tuple[Iscsi, ...] = Field(default=(), description="iSCSI targets that every host is logged in to.")
    identity: Identity = Field(default=Identity(), description="Numbers of nova and of QEMU's user on all hosts.")
    cpu: Cpu = Field(default=Cpu(), description="The CPU that all hosts can run.")
    policy: Policy = Field(default=Policy(), description="Defaults of hotfoot migrate.")
    policies: tuple[NamedPolicy, ...] = Field(default=(), description="Policies beside the built-in ones.")
    policy_of: dict[str, Name] = Field(
        default={}, description="Policies of single instances, by name or UUID, in place of the default one."
    )
    rules: tuple[Rule, ...] = Field(
        default=(), description="Instances that belong together, or apart: for all that plans for whole hosts."
    )
    balance: Balance = Field(default=Balance(), description="How hotfoot balance judges, and when it may act.")
    journal: Journal = Field(default=Journal(), description="Where migrations are kept.")
    fence: Fence | None = Field(default=None, description="How hosts are switched off before an evacuation.")
    controllers: tuple[Source, ...] = Field(
        default=(),
        description="Addresses and networks that may reach libvirt and the consoles of the hosts: with any given, "
        "`hotfoot prepare` closes these, and the ports of migrations and storage, to everyone but them and the hosts.",
    )
    openstack: OpenStack | None = Field(default=None, description="The OpenStack cloud; without it, plain libvirt.")
    hosts: tuple[Host, ...] = Field(
        default=(),
        description="The hosts of this cluster. With openstack: those compute hosts that can be reached by SSH and "
        "libvirt too, named as Nova names them; none are needed.",
    )

    def host(self, name: str) -> Host:
        """Find a host by its name; raises HotfootError (USAGE) that offers near names."""
        for host in self.hosts:
            if host.name == name:
                return host
        names = [host.name for host in self.hosts]
        near = get_close_matches(name, names, n=3) or (names if len(names) <= 8 else [])
        hint = f"did you mean {' or '.join(near)}?" if near else f"it has {len(names)} hosts; see `hotfoot hosts`."
        raise HotfootError(f'no host "{name}" in cluster {self.name}; {hint}', ExitStatus.USAGE)

    @property
    def host_names(self) -> tuple[str, ...] | None:
        """The names of all its hosts; None for an OpenStack cloud, of which Nova tells which there are."""
        return None if self.openstack else tuple(host.name for host in self.hosts)

    def ssh_of(self, host: Host) -> Ssh:
        """SSH access to one host: the common section, overridden by each key that the host itself gives."""
        own = {key: getattr(host.ssh, key) for key in host.ssh.model_fields_set}
        return self.ssh.model_copy(update=own)

    def fence_of(self, host: Host) -> Fence | None:
        """How a host is switched off: its own way, or the common one."""
        return host.fence or self.fence

    def resolved(self) -> Self:
        """Give the same cluster with every host's SSH access and migration address written out."""
        hosts = tuple(
            host.model_copy(update={"ssh": self.ssh_of(host), "migration_address": self.migration_address_of(host)})
            for host in self.hosts
        )
        return self.model_copy(update={"hosts": hosts})

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
