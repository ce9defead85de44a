"""What the words of ``migrate`` and ``forecast`` ask for, put above what the cluster file says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cluster import Cluster
    from hotfoot.migration.options import MigrationOptions
    from hotfoot.migration.prepare import Request
    from hotfoot.placement.declared import Declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An instance, where it is to go, and the options that differ from the cluster file; None leaves it to the file."""

    instance: str
    destination: str | None
    from_host: str | None
    block: bool | None = None
    native_tls: bool | None = None
    bandwidth: str | None = None
    parallel: int | None = None
    compress: bool | None = None
    policy: str | None = None
    max_downtime: str | None = None
    deadline: str | None = None
    watch_address: str | None = None
    cold: bool = False
    only_off: bool = False
    ignore_rules: bool = False
    planned: bool = False
    """Whether a plan asks, which has respected the rules for all of its moves together."""

    def request(self, declared: Cluster) -> Request:
        """Put what was asked for above what the cluster file says of all instances, and of single ones.

        A policy of the command's own holds for all. Raises HotfootError (usage).
        """
        from hotfoot.migration.facts import DeclaredStorage
        from hotfoot.migration.prepare import Request

        single = {} if self.policy else declared.policy_of
        return Request(
            instance=self.instance,
            destination=self.destination,
            from_host=self.from_host,
            options=self._over(declared, self.policy),
            options_of={key: self._over(declared, name) for key, name in single.items()},
            watch_address=self.watch_address,
            storage=tuple(DeclaredStorage(storage.path, storage.shared) for storage in declared.storage),
            rules=None if self.planned else _rules(declared),
            ignore_rules=self.ignore_rules,
        )

    def _over(self, declared: Cluster, name: str | None) -> MigrationOptions:
        from hotfoot.cli.options import asked_rate
        from hotfoot.migration.options import MigrationOptions
        from hotfoot.migration.policy_choice import policy_named
        from hotfoot.migration.steering import MOST_DOWNTIME_MS

        section, policy = declared.policy, policy_named(declared, name)
        max_downtime_ms = _read("--max-downtime", self.max_downtime, policy.max_downtime_ms)
        if (max_downtime_ms or 0) > MOST_DOWNTIME_MS:
            raise HotfootError("--max-downtime must be at most 2000s, which is QEMU's own bound.", ExitStatus.USAGE)
        deadline_ms = _read("--deadline", self.deadline, policy.deadline_ms)
        return MigrationOptions(
            block=self.block,
            cold=self.cold,
            only_off=self.only_off,
            native_tls=section.native_tls if self.native_tls is None else self.native_tls,
            bandwidth_bytes_per_s=asked_rate(self.bandwidth, section.bandwidth_bytes_per_s),
            parallel=(policy.parallel or 0) if self.parallel is None else self.parallel,
            compress=bool(policy.compress) if self.compress is None else self.compress,
            policy=replace(policy, max_downtime_ms=max_downtime_ms or policy.max_downtime_ms, deadline_ms=deadline_ms),
        )


def _rules(declared: Cluster) -> Declared | None:
    if not declared.rules:
        return None
    from hotfoot.placement.declared import declared_of

    return declared_of(declared)


def _read(option: str, text: str | None, otherwise: int | None) -> int | None:
    from hotfoot.cluster import parse_duration_ms

    try:
        return otherwise if text is None else parse_duration_ms(text)
    except ValueError as error:
        raise HotfootError(f"{option} {error}.", ExitStatus.USAGE) from None
