"""The changes that make a GlusterFS volume out of hosts that have none, and those that mend one.

Sources: gluster(8), Gluster's own option group for virtual machines (``group virt``), requirement A4. Every step can
be repeated; taken back they leave no daemon state, no brick and no attributes behind, unless a brick holds data.
"""

from __future__ import annotations

from hotfoot.cluster import Storage
from hotfoot.readiness.change import Change, Command, MakeFolder, Phase, SetUnit
from hotfoot.readiness.facts import HostFacts
from hotfoot.readiness.storage_owner import wanted_owner

UNIT = "glusterd.service"
_CLI = ("gluster", "--mode=script")
_SEE_EACH_OTHER_S = 60.0
_STATE = "/var/lib/glusterd"
_STATE_BEFORE = "/var/lib/hotfoot/glusterd-before"

_UNLESS_DATA = """
import os, shutil, sys
brick = sys.argv[1]
own = (".glusterfs", ".shard", ".trashcan")
names = os.listdir(brick) if os.path.isdir(brick) else []
left = sorted(name for name in names if not name.startswith(own))
# What GlusterFS will delete by itself within minutes is marked by the name of the file that it was a part of.
parts, marks = os.path.join(brick, ".shard"), os.path.join(brick, ".shard", ".remove_me")
gone = [".remove_me"] + (os.listdir(marks) if os.path.isdir(marks) else [])
shards = [part for part in (os.listdir(parts) if os.path.isdir(parts) else []) if part[:36] not in gone]
if left or shards:
    sys.exit("%s holds %s; it was left as it is" % (brick, ", ".join(left[:5]) or "parts of disks"))
"""
# A brick is emptied of what GlusterFS itself keeps there, its attributes taken off; never of anybody's files.
_CLEAR_BRICK = (
    _UNLESS_DATA
    + """
for name in names:
    shutil.rmtree(os.path.join(brick, name))
for name in os.listxattr(brick) if os.path.isdir(brick) else []:
    if name.startswith("trusted."):
        os.removexattr(brick, name)
"""
)
_FREE_BRICK = """
import os, sys, uuid
brick, volume = sys.argv[1:]
attribute, known = "trusted.glusterfs.volume-id", "/var/lib/glusterd/vols/%s/info" % volume
if attribute in os.listxattr(brick):
    own = "volume-id=%s" % uuid.UUID(bytes=os.getxattr(brick, attribute))
    if os.path.exists(known) and own in open(known).read():
        sys.exit(0)
    sys.exit("%s was the brick of another volume" % brick)
if os.listdir(brick):
    sys.exit("%s is not empty, and is not taken for a brick" % brick)
"""
# Looks for a while first: a brick has no port until it has told its daemon. Clients that are on it lose nothing if the
# other copies are served, and it is not itself the one to heal them from.
_SERVE_BRICKS = """
import os, signal, subprocess, sys, time
import xml.etree.ElementTree as tree
info, patience = sys.argv[1], float(sys.argv[2])
own = next((line[5:].strip() for line in open(info) if line.startswith("UUID=")), "")
def said(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    return done.stdout.decode(errors="replace")
def told(*words):
    try:
        return tree.fromstring(said("gluster", "--mode=script", "volume", *words, "--xml"))
    except tree.ParseError:
        return tree.Element("nothing")
def bricks():
    root = told("status", "all")
    if root.findtext("opRet") != "0":
        return [] if "No volumes" in (root.findtext("opErrstr") or "") else None
    found = []
    for volume in root.iterfind("volStatus/volumes/volume"):
        for part in volume.iterfind("node"):
            path, port, pid, peer = (part.findtext(key) or "" for key in ("path", "port", "pid", "peerid"))
            if path.startswith("/"):
                pid = int(pid) if pid.isdigit() else 0
                found.append((volume.findtext("volName"), path, port.isdigit(), pid, peer == own))
    return found
def wait():
    end = time.monotonic() + patience
    while True:
        known = bricks()
        left = [brick for brick in known or [] if brick[4] and not brick[2]]
        if (known is not None and not left) or time.monotonic() > end:
            return [(volume, path, pid) for volume, path, _, pid, _ in left if pid], known or []
        time.sleep(0.5)
def has_clients(pid):
    mine = [line for line in said("ss", "-Htnp").splitlines() if "pid=%d," % pid in line]
    return any(not line.split()[4].endswith(":24007") for line in mine)
def is_spare(volume, path, known):
    copies = told("info", volume).findtext(".//replicaCount") or ""
    others = [served for name, _, served, _, mine in known if name == volume and not mine]
    pending = os.listdir(path + "/.glusterfs/indices/xattrop")
    heals_others = any(not name.startswith("xattrop-") for name in pending)
    return copies.isdigit() and int(copies) >= 3 and len(others) >= 2 and all(others) and not heals_others
stuck, known = wait()
for volume, path, pid in stuck:
    if has_clients(pid) and not is_spare(volume, path, known):
        sys.exit("the brick %s of %s has clients, and its daemon knows no port of it; it was left as it is, since the"
                 " other copies are not all there" % (path, volume))
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 20
    while os.path.exists("/proc/%d" % pid) and time.monotonic() < end:
        time.sleep(0.1)
    said("gluster", "--mode=script", "volume", "start", volume, "force")
for volume, path, pid in wait()[0] if stuck else []:
    sys.exit("the brick %s of %s was started again, and its daemon knows no port of it" % (path, volume))
"""
# For some time after a daemon was started its peers cannot have it heal (Commit failed): no matter where nothing waits.
_HEAL = """
for again in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    said=$(gluster --mode=script volume heal "$1" 2>&1)
    launched=$?
    sleep "${2:-2}"
    counts=$(gluster --mode=script volume heal "$1" statistics heal-count | grep '^Number of entries')
    if [ -n "$counts" ] && ! echo "$counts" | grep -qv ': 0$'; then exit 0; fi
done
test $launched = 0 || { echo "$said" | tail -n 1 >&2; exit 1; }
"""


def serve(host: HostFacts) -> tuple[Change, ...]:
    """Return what makes GlusterFS's daemon run on a server, now and at boot."""
    remember = Command(
        title="keep the state of GlusterFS's daemon before its first start",
        argv=("sh", "-c", 'mkdir -p "${2%/*}" && rm -rf "$2" && cp -a "$1" "$2"', "sh", _STATE, _STATE_BEFORE),
        done_if=("test", "-e", f"{_STATE}/glusterd.info"),
        undo=(
            "sh",
            "-c",
            'test ! -d "$2" || { find "$1" -mindepth 1 -delete && cp -a "$2/." "$1/" && rm -rf "$2"; }',
            "sh",
            _STATE,
            _STATE_BEFORE,
        ),
    )
    unit = host.units.get(UNIT)
    masked = unit is not None and "masked" in (unit.load, unit.enabled)
    start = SetUnit(unit=UNIT, enabled=True, running=True, masked=False if masked else None)
    return _on(host.host, Phase.STORAGE_SERVERS, remember, start)


def brick(storage: Storage, host: str) -> tuple[Change, ...]:
    """Return what has an empty folder ready for a new volume on a server."""
    check = Command(
        title=f"see that {storage.folder} can be a brick",
        argv=("python3", "-I", "-c", _FREE_BRICK, storage.folder, storage.volume),
        undo=("python3", "-I", "-c", _CLEAR_BRICK, storage.folder),
    )
    return _on(host, Phase.STORAGE_SERVERS, MakeFolder(path=storage.folder), check)


def peer(host: str, other: str) -> Change:
    """Return what takes another server into the pool of the first."""
    known = 'gluster --mode=script pool list | grep -qE "[[:space:]]$1[[:space:]]+Connected"'
    step = Command(
        title=f"take {other} into GlusterFS's pool",
        argv=(*_CLI, "peer", "probe", other),
        done_if=("sh", "-c", known, "sh", other),
        undo=(*_CLI, "peer", "detach", other),
        patience_s=_SEE_EACH_OTHER_S,
    )
    return Change(host=host, phase=Phase.STORAGE_CLUSTER, step=step)


def create(storage: Storage, host: HostFacts) -> tuple[Change, ...]:
    """Return what makes and starts the volume, replicated over all its servers, for disks of instances."""
    name, servers = storage.volume, storage.servers
    replica = ("replica", str(len(servers))) if len(servers) > 1 else ()
    bricks = tuple(f"{server}:{storage.folder}" for server in servers)
    there = (*_CLI, "volume", "info", name)
    steps = [
        Command(
            title=f"make the volume {name}" + (f" with {len(servers)} replicas" if replica else ""),
            # "force" allows a brick that is on the root file system, or itself a mount point.
            argv=(*_CLI, "volume", "create", name, *replica, *bricks, "force"),
            done_if=there,
            undo=(*_CLI, "volume", "delete", name),
            timeout_s=120,
            patience_s=_SEE_EACH_OTHER_S,
        )
    ]
    if replica:  # the group sets options that only a replicated volume takes
        steps.append(
            Command(
                title=f"give {name} the options for virtual machines",
                argv=(*_CLI, "volume", "set", name, "group", "virt"),
                timeout_s=120,
            )
        )
    steps.append(owner(storage, host))
    stop = 'python3 -I -c "$1" "$2" && exec gluster --mode=script volume stop "$3" force'
    undo = ("sh", "-c", stop, "sh", _UNLESS_DATA, storage.folder, name)
    steps.append(start(name).model_copy(update={"undo": undo}))
    return _on(host.host, Phase.STORAGE_CLUSTER, *steps)


def owner(storage: Storage, host: HostFacts, old: tuple[str, str] | None = None) -> Command:
    """Return what gives a volume's root its owner by name: numbers may be aligned earlier in the same plan."""
    user, _, group = wanted_owner(host, storage.path).partition(":")
    script = (
        'exec gluster --mode=script volume set "$1" storage.owner-uid "$(id -u "$2")" '
        'storage.owner-gid "$(getent group "$3" | cut -d: -f3)"'
    )
    undo: tuple[str, ...] = ()
    if old is not None:
        undo = (*_CLI, "volume", "set", storage.volume, "storage.owner-uid", old[0], "storage.owner-gid", old[1])
    return Command(
        title=f"give the root of {storage.volume} to {user}:{group}",
        argv=("sh", "-c", script, "sh", storage.volume, user, group),
        undo=undo,
        timeout_s=120,
    )


def start(volume: str) -> Command:
    """Return what starts a volume."""
    started = 'gluster --mode=script volume info "$1" | grep -q "^Status: Started"'
    return Command(
        title=f"start the volume {volume}",
        argv=(*_CLI, "volume", "start", volume),
        done_if=("sh", "-c", started, "sh", volume),
        undo=(*_CLI, "volume", "stop", volume, "force"),
        timeout_s=120,
        patience_s=20,
    )


def start_bricks(host: str, volume: str) -> Change:
    """Return what starts those bricks and self-heal daemons of a started volume that do not run."""
    step = Command(
        title=f"start what of {volume} does not run",
        argv=(*_CLI, "volume", "start", volume, "force"),
        timeout_s=120,
    )
    return Change(host=host, phase=Phase.STORAGE_CLUSTER, step=step)


def serve_bricks(host: str) -> Change:
    """Return what starts those bricks of a server anew that run, and that no new client finds.

    A daemon that its peers meet while it starts may start a brick in two threads, and then knows no port of the one
    that is left (GlusterFS 11.1); ``volume start force`` takes it for running.
    """
    step = Command(
        title="see that clients find GlusterFS's bricks",
        argv=("python3", "-I", "-c", _SERVE_BRICKS, f"{_STATE}/glusterd.info", "10"),
        timeout_s=180,
    )
    return Change(host=host, phase=Phase.STORAGE_SERVERS, step=step)


def heal(host: str, volume: str) -> Change:
    """Return what makes a volume's bricks catch up now, instead of within ten minutes.

    It is asked again until nothing waits any more: a self-heal daemon passes over a brick that it does not see yet.
    What takes longer goes on by itself, and the look afterwards says what is left.
    """
    step = Command(
        title=f"heal the volume {volume}", argv=("sh", "-c", _HEAL, "sh", volume), timeout_s=180, patience_s=20
    )
    return Change(host=host, phase=Phase.STORAGE_COPIES, step=step)


def option(host: str, volume: str, key: str, value: str, old: str | None) -> Change:
    """Return what sets an option of a volume; taken back it has its old value, or GlusterFS's own."""
    undo = ("volume", "reset", volume, key) if old is None else ("volume", "set", volume, key, old)
    step = Command(
        title=f"set {key} of {volume} to {value}",
        argv=(*_CLI, "volume", "set", volume, key, value),
        undo=(*_CLI, *undo),
        timeout_s=120,
        patience_s=20,
    )
    return Change(host=host, phase=Phase.STORAGE_CLUSTER, step=step)


def _on(host: str, phase: Phase, *steps: Command | SetUnit | MakeFolder) -> tuple[Change, ...]:
    return tuple(Change(host=host, phase=phase, step=step) for step in steps)
