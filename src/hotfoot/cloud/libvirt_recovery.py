"""What libvirt says of a post-copy migration, and what it can be told once its link broke. Blocking functions."""

from __future__ import annotations

from typing import Any

import libvirt

from hotfoot.cloud.libvirt_order import flags, parameters
from hotfoot.migration.options import Order
from hotfoot.migration.proof import PostCopy

_POST_COPY = {
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_POSTCOPY): PostCopy.UNDER_WAY,
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_POSTCOPY_FAILED): PostCopy.BROKEN,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY): PostCopy.UNDER_WAY,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED): PostCopy.BROKEN,
}
"""State and reason of a domain that is one half of a post-copy migration (libvirt-domain.h)."""


def post_copy_of(state: int, reason: int) -> PostCopy | None:
    """Return how a domain's post-copy migration stands; None where its memory is all here, or it is in none."""
    return _POST_COPY.get((state, reason))


def pause(connection: Any, uuid: str) -> None:
    """Pause the post-copy migration of a domain, on its source: QEMU gives its connection up, and waits for a new one.

    The flag keeps libvirt from ever taking this for an abort. The destination takes no such call while QEMU there
    waits for memory: libvirt 11.3 says "cannot acquire state change lock" after 30 s. Raises libvirtError.
    """
    connection.lookupByUUIDString(uuid).abortJobFlags(libvirt.VIR_DOMAIN_ABORT_JOB_POSTCOPY)


def resume(connection: Any, peer: str, order: Order) -> None:
    """Resume a broken post-copy migration from its source, over a new connection; returns once all has arrived.

    Raises libvirtError.
    """
    wanted = flags(order) | libvirt.VIR_MIGRATE_POSTCOPY | libvirt.VIR_MIGRATE_POSTCOPY_RESUME
    connection.lookupByUUIDString(order.uuid).migrateToURI3(peer, parameters(order), wanted)
