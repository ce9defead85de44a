"""What an order is in libvirt's terms: the flags and parameters of ``virDomainMigrateToURI3``. Pure."""

from __future__ import annotations

import libvirt

from hotfoot.cloud.libvirt_uri import stream_uri
from hotfoot.migration.options import Mode, Order


def flags(order: Order) -> int:
    """Return the flags. Never VIR_MIGRATE_UNSAFE: what libvirt takes for unsafe is not moved."""
    wanted: int = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
    if order.persistent:
        wanted |= libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    if order.mode is Mode.BLOCK:
        wanted |= libvirt.VIR_MIGRATE_NON_SHARED_DISK
    if order.options.native_tls:
        wanted |= libvirt.VIR_MIGRATE_TLS
    if order.options.parallel:
        wanted |= libvirt.VIR_MIGRATE_PARALLEL
    if order.options.compression:
        wanted |= libvirt.VIR_MIGRATE_COMPRESSED
    if order.post_copy:
        wanted |= libvirt.VIR_MIGRATE_POSTCOPY  # only prepares it
    if order.throttle:
        wanted |= libvirt.VIR_MIGRATE_AUTO_CONVERGE
    return wanted


def parameters(order: Order) -> dict[str, object]:
    """Return the typed parameters; libvirt's unit of bandwidth is MiB/s."""
    options = order.options
    wanted: dict[str, object] = {}
    if order.stream_address:
        wanted[libvirt.VIR_MIGRATE_PARAM_URI] = stream_uri(order.stream_address)
    if options.bandwidth_mib_per_s is not None:
        wanted[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = options.bandwidth_mib_per_s
    if order.copied_disks:
        wanted[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = list(order.copied_disks)
    if options.parallel:
        wanted[libvirt.VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS] = options.parallel
    if options.compression:
        wanted[libvirt.VIR_MIGRATE_PARAM_COMPRESSION] = options.compression
    if order.throttle:
        wanted[libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL] = order.throttle.first
        wanted[libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT] = order.throttle.rung
    return wanted
