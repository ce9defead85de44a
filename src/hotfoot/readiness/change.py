"""A change: one step that mends a finding on one host, as a value that can be shown, sent, done, and taken back.

What a step does is carried out on the host by the applier (``prepare/applier.py``), which understands exactly the
kinds below and knows for each how to take it back. A step says what is to be, not what is to be done: repeated, it
does nothing. No step holds a secret: certificates and keys are made when the plan is carried out.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hotfoot.readiness.edit import Edit


class Phase(IntEnum):
    """When a change is made: all hosts finish one phase before any begins the next."""

    PACKAGES = 10
    IDENTITY = 20
    NAMES = 30
    FIREWALL = 35
    FIREWALL_KEPT = 36
    """Once every host was reached through its new rules."""
    KEYS = 40
    TRUST = 45
    STORAGE_SERVERS = 50
    STORAGE_CLUSTER = 55
    STORAGE = 60
    LIBVIRT = 70
    NOVA = 80
    INSTANCES = 85
    CLUSTER_FILE = 90
    STORAGE_COPIES = 95
    """What may take long and holds up nothing else: copies of disks brought up to date."""


CONTROLLER = "this machine"
"""In place of a host's name (which has no blank): where Hotfoot runs and the cluster file lies."""


class _Step(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EditFile(_Step):
    """Change some lines of a configuration file; all others, comments and order stay as they are."""

    do: Literal["edit"] = "edit"
    path: str
    edits: tuple[Edit, ...]
    mode: int | None = None
    """None: as it is (0644 for a new file)."""
    owner: str | None = None
    """``user:group``; None: as it is (root:root for a new file)."""
    check: tuple[str, ...] = ()
    """A program that accepts the new text before it is put in place: ``{}`` in a word stands for its path."""


class PutFile(_Step):
    """Make a file's content exactly this."""

    do: Literal["put"] = "put"
    path: str
    content: str
    """May hold ``{{public-key:HOST}}``: what ``MakeSshKey`` gave on that host."""
    mode: int = 0o644
    owner: str = "root:root"
    check: tuple[str, ...] = ()


class RemoveFile(_Step):
    """Make a file be no more."""

    do: Literal["remove"] = "remove"
    path: str


class SetMode(_Step):
    """Give a file or folder, which is there, another mode or owner; not what is below it."""

    do: Literal["mode"] = "mode"
    path: str
    mode: int | None = None
    owner: str | None = None


class MakeFolder(_Step):
    """Make a folder (and those above it) be there, with this mode and owner."""

    do: Literal["folder"] = "folder"
    path: str
    mode: int = 0o755
    owner: str = "root:root"


class Install(_Step):
    """Install packages, by apt or dnf."""

    do: Literal["install"] = "install"
    packages: tuple[str, ...]


class SetUnit(_Step):
    """Bring a systemd unit into a state; what is None stays as it is."""

    do: Literal["unit"] = "unit"
    unit: str
    enabled: bool | None = None
    running: bool | None = None
    masked: bool | None = None


class Refresh(_Step):
    """Make a running service read its configuration again; nothing where it does not run. Done last in a phase.

    Never of a kind that ends instances: QEMU processes outlive libvirtd and virtqemud.
    """

    do: Literal["refresh"] = "refresh"
    unit: str
    how: Literal["restart", "reload"] = "restart"


class AlignIds(_Step):
    """Give users and groups these numbers, and the files that they own on local file systems with them.

    All at once, so that two may swap. Refused while processes of a user run, unless the operator said otherwise.
    """

    do: Literal["ids"] = "ids"
    users: dict[str, int] = Field(default_factory=dict)
    groups: dict[str, int] = Field(default_factory=dict)


class Mount(_Step):
    """Have the file system of /etc/fstab mounted on a folder; never while instances use what is there."""

    do: Literal["mount"] = "mount"
    path: str
    again: bool = False
    """Unmount first: what is mounted is stale or of other options."""


class MoveData(_Step):
    """Move what lies in a local folder onto the shared file system that is to be mounted there, and mount it.

    Needs the entry of /etc/fstab, which an earlier step of the same plan writes. In order: refused while a running
    instance has a disk below ``path``, a process has a file open below it, or ``keep`` exists; what fstab says is
    mounted on an empty folder elsewhere; every file, folder and link of ``path`` is copied there (numbers of owner
    and group, mode, times, extended attributes, holes), never over one that is there already with other content
    (such names end the step, nothing of it remains; the same content counts as copied); each copy is synced, read
    back and its SHA-256 compared; then ``path`` is renamed to ``keep``, made anew as an empty folder of the same
    mode and owner, and mounted. Taken back: unmounted, ``keep`` renamed back, and those copies removed from the
    share that nobody has changed since. ``keep`` is never removed: the operator does that.
    """

    do: Literal["move-data"] = "move-data"
    path: str
    source: str
    """What fstab mounts on ``path``: refused when it says otherwise by then."""
    keep: str
    """Where the old data stays, on the same local file system."""


class MakeCertificate(_Step):
    """Issue certificates of the cluster's authority for a host, in the place of libvirt or of QEMU.

    Writes authority, certificate and key with the modes that the two need; the authority is made when there is none.
    """

    do: Literal["certificate"] = "certificate"
    place: Literal["libvirt", "qemu"]
    names: tuple[str, ...]
    """DNS names and IP addresses to vouch for."""
    key_owner: str = "root:root"
    key_mode: int = 0o600


class MakeSshKey(_Step):
    """Make a user's SSH key pair on the host if there is none; the private half never leaves it."""

    do: Literal["ssh-key"] = "ssh-key"
    user: str
    path: str
    """Of the private half."""


class CloseFirewall(_Step):
    """Load rules of nftables that keep others out, and keep them once the controller was let in anew.

    The host takes them back by itself, also when this program ends, unless the controller opens another connection
    within ``confirm_s`` and says so. Refused where nft does not accept the file.
    """

    do: Literal["close-firewall"] = "close-firewall"
    path: str
    """A file that an earlier step wrote, which replaces the table as a whole."""
    table: str
    """Its name, of family inet."""
    mark: str
    """The comment by which the running rules are known to be these."""
    confirm_s: float = 60.0


class DefineSecret(_Step):
    """Have libvirt hold a secret of this UUID, whose value is in a file of the controller.

    The value is in no plan, argument or journal: it is read when the plan is carried out, and goes to the host by the
    channel that carries the steps. A secret that is there already gets the value, and its old one back when the run
    is taken back; refused then while a running instance names it.
    """

    do: Literal["secret"] = "secret"
    uuid: str
    kind: Literal["ceph", "iscsi"]
    usage: str
    """What the secret is for, as instances may name it too: unique on a host."""
    file: str
    """On the controller: a password in its first line, or a keyring of Ceph."""
    entity: str = ""
    """Whose key it is, where the file is a keyring: ``client.nova``."""


class PutKeyring(_Step):
    """Write a keyring of Ceph with one user's key, which comes from a keyring of the controller.

    As with ``DefineSecret`` the key is in no plan, argument or journal.
    """

    do: Literal["keyring"] = "keyring"
    path: str
    file: str
    """The keyring on the controller."""
    entity: str
    """Whose key: ``client.nova``."""
    mode: int = 0o640
    owner: str = "root:root"


class DeclareCpu(_Step):
    """Declare the CPU that all hosts run in the cluster file, on the controller; all else in the file stays."""

    do: Literal["declare-cpu"] = "declare-cpu"
    model: str
    features: tuple[str, ...] = ()
    """As the cluster file has them: ``-name`` takes one away."""


class Command(_Step):
    """A step of a tool that has no file of its own (gluster, virsh, exportfs): what does it, and what takes it back."""

    do: Literal["command"] = "command"
    title: str
    """What it does, in words."""
    argv: tuple[str, ...]
    done_if: tuple[str, ...] = ()
    """A program that succeeds when there is nothing to do."""
    undo: tuple[str, ...] = ()
    """Empty: nothing to take back. The same as ``argv``: a command that has files read again (exportfs), which is
    run once all files of the run are back."""
    timeout_s: float = 60.0
    patience_s: float = 0.0
    """Tried again for so long when it fails (peers that have yet to see each other)."""


Step = Annotated[
    EditFile
    | PutFile
    | RemoveFile
    | SetMode
    | MakeFolder
    | Install
    | SetUnit
    | Refresh
    | AlignIds
    | Mount
    | MoveData
    | MakeCertificate
    | MakeSshKey
    | CloseFirewall
    | DefineSecret
    | PutKeyring
    | DeclareCpu
    | Command,
    Field(discriminator="do"),
]


class Change(_Step):
    """One step on one host (or the ``CONTROLLER``), in its phase."""

    host: str
    phase: Phase
    step: Step
