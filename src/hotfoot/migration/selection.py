"""Which instance and which host the operator means. Pure."""

from __future__ import annotations

from difflib import get_close_matches

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import Instance, InstanceState, Inventory

SHORTEST_UUID_PREFIX = 4


def find_instance(inventory: Inventory, wanted: str, on_host: str | None = None) -> Instance:
    """Return the one instance that ``wanted`` names: its name, its UUID, or the first digits of its UUID.

    Invariant: never a guess; whatever fits two instances is refused, and both are named. Of one UUID seen on
    two hosts the one that runs is meant: a definition left behind, or the half of a migration, could not be
    moved; where there are only halves, either stands for it. Raises HotfootError (refused).
    """
    seen = [instance for instance in inventory.instances if on_host is None or instance.host == on_host]
    fits = [instance for instance in seen if instance.name == wanted or instance.uuid == wanted.lower()]
    if not fits and len(wanted) >= SHORTEST_UUID_PREFIX:
        fits = [instance for instance in seen if instance.uuid.startswith(wanted.lower())]
    if not fits:
        raise _refused(_unknown(inventory, wanted, on_host))
    if len({instance.uuid for instance in fits}) == 1 and len(fits) > 1:
        halves = [instance for instance in fits if instance.state is InstanceState.IN_TRANSIT]
        fits = [instance for instance in fits if instance.movable] or halves[:1] or fits
    if len(fits) > 1:
        where = ", ".join(f"{instance.name} {instance.uuid} on {instance.host}" for instance in fits)
        raise _refused(f"'{wanted}' fits {len(fits)} instances ({where}); give the UUID, or --from HOST.")
    return fits[0]


def check_host(inventory: Inventory, wanted: str) -> str:
    """Return the name of a host of the cluster file, or of the cloud; raises HotfootError (refused) with near names."""
    names = [host.name for host in inventory.hosts]
    if wanted in names:
        return wanted
    near = get_close_matches(wanted, names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}."
    where = "in the cloud" if any(host.nova for host in inventory.hosts) else "in the cluster file"
    raise _refused(f"There is no host '{wanted}' {where}; {hint}")


def _unknown(inventory: Inventory, wanted: str, on_host: str | None) -> str:
    silent = [host.name for host in inventory.hosts if not host.answers and on_host in (None, host.name)]
    names = sorted({instance.name for instance in inventory.instances})
    near = get_close_matches(wanted, names, n=3)
    sentence = f"There is no instance '{wanted}' on {on_host or 'any host that answered'}"
    if near:
        sentence += f"; did you mean {' or '.join(near)}?"
    else:
        sentence += "; `hotfoot ls` shows all there are."
    if silent:
        problems = " ".join(filter(None, (inventory.host(name).problem for name in silent)))
        sentence += f" It may be on {', '.join(silent)}, which did not answer: {problems}"
    return sentence


def _refused(sentence: str) -> HotfootError:
    return HotfootError(sentence, ExitStatus.REFUSED)
