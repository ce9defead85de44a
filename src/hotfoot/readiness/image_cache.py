"""Nova's cache of images on shared storage: never raced by several hosts without locks between them.

Sources: requirement A8 of live migration with libvirt and Nova; nova.conf(5), [image_cache] subdirectory_name; Nova
locks images by files in INSTANCES_PATH/locks, which protect across hosts only as far as the storage's locks do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hotfoot.cluster import Cluster, Storage
from hotfoot.readiness.change import Change, EditFile, Phase, Refresh
from hotfoot.readiness.edit import SetKey, value_of
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.listing import listed
from hotfoot.readiness.nova_conf import NOVA_CONF
from hotfoot.readiness.storage_owner import runs_nova

DEFAULT = "_base"
UNIT = "nova-compute.service"


def judge(cluster: Cluster, facts: Facts) -> Iterable[Finding]:
    """Return the hosts that share one image cache in which locks do not hold.

    Where the locks were not tried nothing is said: nothing is known.
    """
    for storage in cluster.storage:
        if storage.shared:
            yield from _shared(storage, facts)


def _shared(storage: Storage, facts: Facts) -> Iterable[Finding]:
    hosts = [host for host in facts.hosts if runs_nova(host) and instances_path(host) == storage.path]
    caches = {host.host: _cache(host) for host in hosts}
    counts = Counter(caches.values())
    unlocked = [
        proof
        for proof in (facts.proofs.shared if facts.proofs else ())
        if proof.path == storage.path and proof.same and proof.lock_refused is False
    ]
    for host in hosts:
        cache = caches[host.host]
        with_it = [name for name, other in caches.items() if other == cache and name != host.host]
        if cache is None or counts[cache] < 2:
            continue
        proof = next((each for each in unlocked if each.reader == host.host and each.writer in with_it), None)
        if proof is None:
            continue
        own = f"{DEFAULT}_{host.host}"
        edit = SetKey(section="image_cache", key="subdirectory_name", value=own)
        yield Finding(
            code="image_cache.raced",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"{host.host} shares Nova's image cache {storage.path}/{cache} with {listed(with_it)}, and locks do "
            "not hold between them.",
            evidence=f"{host.host} was given a lock that {proof.writer} held; [image_cache] subdirectory_name is "
            f"{cache} on each.",
            why="Two hosts may download or delete the same image at once: an instance gets half an image, or loses "
            "the one below its disk.",
            remedy=f"Mend the storage's locks; until then set subdirectory_name = {own} in [image_cache] of "
            f"{NOVA_CONF} on {host.host}, and so on each host.",
            changes=(
                Change(host=host.host, phase=Phase.NOVA, step=EditFile(path=NOVA_CONF, edits=(edit,))),
                Change(host=host.host, phase=Phase.NOVA, step=Refresh(unit=UNIT)),
            ),
        )


def instances_path(host: HostFacts) -> str:
    """Return where Nova keeps instances on a host."""
    state = _value(host, "state_path", "DEFAULT") or "/var/lib/nova"
    path = _value(host, "instances_path", "DEFAULT") or "$state_path/instances"
    return path.replace("${state_path}", state).replace("$state_path", state).rstrip("/")


def _cache(host: HostFacts) -> str | None:
    """The folder's name; None where it is a name of the host's own ($my_ip), or the file cannot be read."""
    try:
        name = value_of(host.text(NOVA_CONF), "subdirectory_name", "image_cache")
        old = value_of(host.text(NOVA_CONF), "base_dir_name", "DEFAULT")
    except ValueError:
        return None
    name = name or old or DEFAULT
    return None if "$my_ip" in name or "$host" in name else name


def _value(host: HostFacts, key: str, section: str) -> str | None:
    try:
        return value_of(host.text(NOVA_CONF), key, section)
    except ValueError:
        return None


TOPIC = Topic(
    name="image_cache",
    title="Nova's image cache",
    judge=judge,
    files=(NOVA_CONF,),
)
