"""How an instance shall be moved: what may be asked for, and what is settled before the start. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from hotfoot.migration.action import ActionKind
from hotfoot.migration.policy import DEFAULT, Policy, Throttle
from hotfoot.sizes import human_duration

MIB = 1024 * 1024


class Mode(StrEnum):
    """What is copied: the memory only, or the local disks too; cold, the instance is stopped and started again."""

    LIVE = "live"
    BLOCK = "block"
    COLD = "cold"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationOptions:
    """What the operator asks for; all but the policy is QEMU's own by default."""

    block: bool | None = None
    """True or False insists on block migration or against it; None finds out."""
    native_tls: bool = False
    bandwidth_bytes_per_s: int | None = None
    parallel: int = 0
    """Connections for the memory stream; 0 is one, without QEMU's multifd."""
    compress: bool = False
    policy: Policy = DEFAULT
    """The goals, and what may be done for them; its connections and compression are settled in the two above."""
    cold: bool = False
    """Whether the instance may be stopped for it, and is to be: Nova's cold migration."""
    only_off: bool = False
    """Of a cold migration: whether it was planned for what is shut off, and must not stop it where it runs by now."""

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
    """Empty where Nova is to choose it."""
    mode: Mode
    persistent: bool
    options: MigrationOptions
    copied_disks: tuple[str, ...] = ()
    """Targets of the disks that are copied, such as ``vda``; empty unless the mode is block."""
    stream_address: str | None = None
    """Where the destination receives the memory; None leaves it to the hypervisor."""
    post_copy: bool = False
    """Whether a switch to post-copy is prepared: the policy allows it, and both sides are able."""
    throttle: Throttle | None = None
    """The ladder that QEMU may climb by its own rule; None: it does not throttle."""
    by_nova: bool = False
    """Whether Nova moves it: by its own configuration, so that only a deadline is kept by Hotfoot."""

    def in_words(self) -> tuple[str, ...]:
        """Say what will be done beyond the plain live migration, one phrase each."""
        return tuple(self._by_nova_in_words()) if self.by_nova else self._by_libvirt_in_words()

    def _by_nova_in_words(self) -> Iterator[str]:
        if self.mode is Mode.COLD:
            yield "stopped, moved, started again, and confirmed where it is then as it was before; else reverted"
            return
        yield "memory is copied while the instance runs"
        yield {
            True: "local disks are copied too",
            False: "no disks are copied",
            None: "Nova finds out whether local disks are copied too",
        }[self.options.block]
        if not self.destination:
            yield "Nova's scheduler chooses the host"
        yield "Nova steers it by its own configuration"
        if self.options.policy.deadline_ms is not None:
            yield f"aborted if it has not ended after {human_duration(self.options.policy.deadline_ms)}"

    def _by_libvirt_in_words(self) -> tuple[str, ...]:
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
        return (*words, *self._policy_in_words())

    def _policy_in_words(self) -> Iterator[str]:
        policy = self.options.policy
        first, most = policy.first_downtime_ms, policy.max_downtime_ms
        raised = f", raised to {most} ms at most" if most > first else ""
        yield f"policy {policy.name}: downtime limit {first} ms{raised}"
        if policy.deadline_ms is not None:
            yield f"deadline {human_duration(policy.deadline_ms)}"
        if self.throttle:
            yield f"QEMU may slow the vCPUs down, from {self.throttle.first} % up to {self.throttle.top} %"
        if self.post_copy:
            yield "may switch to post-copy"
        if ActionKind.PAUSE in policy.steps:
            yield "may be paused until the rest is copied"
