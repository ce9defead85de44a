"""How an instance shall be moved: what may be asked for, and what is settled before the start. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MIB = 1024 * 1024


class Mode(StrEnum):
    """What is copied: the memory only, or the local disks too."""

    LIVE = "live"
    BLOCK = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationOptions:
    """What the operator asks for. The defaults are QEMU's own."""

    block: bool | None = None
    """True or False insists on block migration or against it; None finds out."""
    native_tls: bool = False
    bandwidth_bytes_per_s: int | None = None
    parallel: int = 0
    """Connections for the memory stream; 0 is one, without QEMU's multifd."""
    compress: bool = False
    max_downtime_ms: int | None = None
    """None leaves the limit to QEMU (300 ms)."""

    @property
    def bandwidth_mib_per_s(self) -> int | None:
        """The bandwidth in libvirt's unit, rounded up, so that a small limit never becomes 0 (no limit)."""
        if self.bandwidth_bytes_per_s is None:
            return None
        return max(1, -(-self.bandwidth_bytes_per_s // MIB))

    @property
    def compression(self) -> str | None:
        """The method: zstd goes with parallel connections only, XBZRLE only without them (QEMU's rule)."""
        if not self.compress:
            return None
        return "zstd" if self.parallel else "xbzrle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """All that a hypervisor needs to start one migration; only a preflight without obstacles makes one."""

    uuid: str
    name: str
    source: str
    destination: str
    mode: Mode
    persistent: bool
    options: MigrationOptions
    copied_disks: tuple[str, ...] = ()
    """Targets of the disks that are copied, such as ``vda``; empty unless the mode is block."""
    stream_address: str | None = None
    """Where the destination receives the memory; None leaves it to the hypervisor."""

    def in_words(self) -> tuple[str, ...]:
        """Say what will be done beyond the plain live migration, one phrase each."""
        words = ["memory is copied while the instance runs"]
        if self.mode is Mode.BLOCK:
            words.append(
                f"local disks are copied too ({', '.join(self.copied_disks)}); the old ones stay on the source"
            )
        words.append(
            "stays defined on the destination, and is removed from the source"
            if self.persistent
            else "transient: leaves no definition on the source"
        )
        if self.stream_address:
            words.append(f"memory travels to {self.stream_address}")
        options = self.options
        words.append(
            "memory stream encrypted by QEMU (native TLS)" if options.native_tls else "memory stream not encrypted"
        )
        if options.bandwidth_mib_per_s is not None:
            exact = options.bandwidth_mib_per_s * MIB == options.bandwidth_bytes_per_s
            words.append(f"at most {options.bandwidth_mib_per_s} MiB/s" + ("" if exact else " (rounded up)"))
        if options.parallel:
            words.append(f"{options.parallel} parallel connections")
        if options.compression:
            words.append(f"compressed with {options.compression}")
        if options.max_downtime_ms is not None:
            words.append(f"downtime limit {options.max_downtime_ms} ms")
        return tuple(words)
