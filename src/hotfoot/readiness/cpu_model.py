"""The CPUs that hosts can give to instances, and the one that all of them can: pure, libvirt's XML in, values out.

What a host can run is what its hypervisor says (``virsh domcapabilities``), not what its processor is. The one CPU that
all hosts can run is computed by libvirt itself, on any one of them (``virsh hypervisor-cpu-baseline``), and read here.
libvirt.org: "virConnectBaselineHypervisorCPU", "formatdomaincaps".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from defusedxml.ElementTree import fromstring

from hotfoot.readiness.domain_xml import DomainCpu
from hotfoot.readiness.listing import listed

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCpu:
    """What one host's hypervisor can give: its host-model, and the named models that it can run."""

    vendor: str
    model: str
    required: frozenset[str]
    """Features on top of the model."""
    disabled: frozenset[str]
    """Features of the model that the host lacks."""
    usable: frozenset[str]
    """Named models that it can run whole."""
    known: frozenset[str]
    """Named models that it knows."""
    blockers: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)
    """What it lacks of each model that it cannot run whole, where libvirt says so (11.0 and newer)."""

    @property
    def kind(self) -> tuple[str, str, frozenset[str], frozenset[str]]:
        """What two hosts must have alike for their host-models to be one."""
        return self.vendor, self.model, self.required, self.disabled

    def words(self) -> str:
        """Say which it is."""
        return f"{self.model}{f' ({self.vendor})' if self.vendor else ''}"

    def misfit(self, cpu: Baseline) -> str:
        """Say why a CPU cannot run here; empty where nothing is known to speak against it."""
        if cpu.model not in self.known and cpu.model != self.model:
            return f"its hypervisor does not know the model {cpu.model}"
        lacking = set(cpu.required & self.disabled)
        if cpu.model == self.model:
            lacking |= self.disabled - cpu.disabled
        elif cpu.model not in self.usable:
            blockers = self.blockers.get(cpu.model)
            if blockers is None and not cpu.disabled:
                return f"it cannot run the model {cpu.model}"
            lacking |= (blockers or frozenset()) - cpu.disabled
        return f"it lacks {listed(sorted(lacking))}" if lacking else ""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A CPU as libvirt names it: a model, features on top, features taken away."""

    model: str
    required: frozenset[str] = frozenset()
    disabled: frozenset[str] = frozenset()

    @property
    def features(self) -> tuple[str, ...]:
        """The features as the cluster file has them: ``-name`` takes one away."""
        return (*sorted(self.required), *(f"-{name}" for name in sorted(self.disabled)))

    @classmethod
    def of(cls, model: str, features: tuple[str, ...]) -> Baseline:
        """Read what the cluster file declares.

        >>> Baseline.of("EPYC", ("aes", "-svm")).disabled
        frozenset({'svm'})
        """
        return cls(
            model,
            frozenset(name.removeprefix("+") for name in features if not name.startswith("-")),
            frozenset(name.removeprefix("-") for name in features if name.startswith("-")),
        )


def misfit(cpu: DomainCpu, source: HostCpu | None, destination: HostCpu) -> str:
    """Say why an instance that runs with ``cpu`` on ``source`` cannot go to ``destination``; empty: nothing known."""
    if source is not None and source.kind == destination.kind:
        return ""  # what runs there runs here
    if cpu.whole_host:
        if source is None:
            return ""
        return f"it has the whole CPU of its host ({cpu.mode}: {source.words()}), and there it is {destination.words()}"
    if cpu.mode != "custom" or not cpu.model:
        return ""
    return destination.misfit(Baseline(cpu.model, cpu.required, cpu.disabled))


def given_up(own: HostCpu, common: Baseline) -> str:
    """Say what a host has that instances of the common CPU do not see; empty where it is nothing that has a name."""
    features = own.required - common.required
    if own.model == common.model:
        features |= common.disabled - own.disabled
        return listed(sorted(features), most=20) if features else ""
    return f"{own.model}, for {common.model}"


@lru_cache(maxsize=1024)
def host_cpu(domcapabilities: str) -> HostCpu | None:
    """Read ``virsh domcapabilities``; None where it tells no host-model (no KVM, other architectures)."""
    try:
        root = fromstring(domcapabilities)
    except (ParseError, ValueError):  # not XML, or with entities of its own
        return None
    mode = root.find("cpu/mode[@name='host-model']")
    if mode is None or mode.get("supported") != "yes" or mode.find("model") is None:
        return None
    models = [(str(each.text).strip(), each.get("usable")) for each in root.iterfind("cpu/mode[@name='custom']/model")]
    required, disabled = _features(mode)
    return HostCpu(
        vendor=(mode.findtext("vendor") or "").strip(),
        model=(mode.findtext("model") or "").strip(),
        required=required,
        disabled=disabled,
        usable=frozenset(name for name, usable in models if usable == "yes"),
        known=frozenset(name for name, _ in models),
        blockers={
            each.get("model", ""): frozenset(feature.get("name", "") for feature in each.iterfind("feature"))
            for each in root.iterfind("cpu/mode[@name='custom']/blockers")
        },
    )


def baseline(xml: str) -> Baseline | None:
    """Read what libvirt's baseline answered; None where it is no CPU."""
    try:
        root = fromstring(xml)
    except (ParseError, ValueError):  # not XML, or with entities of its own
        return None
    model = (root.findtext("model") or "").strip()
    if root.tag != "cpu" or not model:
        return None
    return Baseline(model, *_features(root))


def _features(element: Element) -> tuple[frozenset[str], frozenset[str]]:
    found = [(feature.get("name", ""), feature.get("policy", "require")) for feature in element.iterfind("feature")]
    return (
        frozenset(name for name, policy in found if policy in ("require", "force")),
        frozenset(name for name, policy in found if policy in ("disable", "forbid")),
    )
