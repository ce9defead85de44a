"""Whether libvirt survives being told to resume a broken post-copy migration: what was seen, by version. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hotfoot.migration.recovery import MAY_COME_BACK, Assessment


class Resume(StrEnum):
    """What is known of libvirt's resume of a broken post-copy migration (VIR_MIGRATE_POSTCOPY_RESUME)."""

    SURVIVES = "survives"
    CRASHES = "crashes"
    UNABLE = "unable"
    UNKNOWN = "unknown"


Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """What libvirt of ``first`` to ``last``, both included, did when it was told to resume, and who saw it."""

    first: Version
    last: Version
    did: Resume
    source: str


EXPERIENCES: tuple[Experience, ...] = (
    Experience(
        first=(0, 0, 0),
        last=(8, 4, 999),
        did=Resume.UNABLE,
        source="libvirt knows VIR_MIGRATE_POSTCOPY_RESUME since 8.5.0 (libvirt-domain.h)",
    ),
    Experience(
        first=(8, 5, 0),
        last=(8, 10, 999),
        did=Resume.UNABLE,
        source='it answers "not in post-copy phase"; mended in 9.0.0 by libvirt\'s commit b92cba67c6',
    ),
    Experience(
        first=(11, 3, 0),
        last=(11, 3, 0),
        did=Resume.CRASHES,
        source="the destination's libvirtd crashed 16 times of 17, and hung the other time (Debian 13, QEMU 10.0, TCG)",
    ),
)
"""No version stands here as surviving it, since none has been seen to; one belongs here with who saw it."""


@dataclass(frozen=True, slots=True)
class ResumeVerdict:
    """Whether a resume may be tried, and why (not), in a sentence."""

    did: Resume
    why: str

    def allowed(self, *, anyway: bool) -> bool:
        """Whether it may be tried: where it is known to survive, or the operator takes the risk of what nobody saw.

        Invariant: never where it is known to crash. The libvirtd that starts after a crash may end the QEMU that the
        guest runs in, and with it the instance.
        """
        return self.did is Resume.SURVIVES or (anyway and self.did is Resume.UNKNOWN)


def judge_resume(versions: Mapping[str, Version], experiences: Sequence[Experience] = EXPERIENCES) -> ResumeVerdict:
    """Judge a resume by the libvirt versions of its hosts (host -> version): the worst of them decides.

    Invariant: SURVIVES only where every host's version is in the table as surviving.
    """
    if not versions:
        return ResumeVerdict(Resume.UNKNOWN, "None of its hosts says which libvirt it has.")
    worst = ResumeVerdict(Resume.SURVIVES, "libvirt on both hosts is known to survive it.")
    rank = [Resume.SURVIVES, Resume.UNKNOWN, Resume.CRASHES, Resume.UNABLE]
    for host, version in versions.items():
        known = next((each for each in experiences if each.first <= version <= each.last), None)
        words = f"libvirt {'.'.join(map(str, version))} on {host}"
        if known is None:
            verdict = ResumeVerdict(Resume.UNKNOWN, f"Whether {words} survives a resume has not been seen.")
        else:
            did = {
                Resume.SURVIVES: "survives a resume",
                Resume.CRASHES: "does not survive a resume",
                Resume.UNABLE: "cannot resume",
            }[known.did]
            verdict = ResumeVerdict(known.did, f"{words} {did}: {known.source}.")
        if rank.index(verdict.did) > rank.index(worst.did):
            worst = verdict
    return worst


_AFTER_A_CRASH = (
    "Should libvirtd crash on the destination, the next one that starts there may end QEMU, and the instance with it"
)


def offers(found: Assessment, verdict: ResumeVerdict) -> tuple[tuple[str, str], ...]:
    """Return what Hotfoot can do for an instance as (what, in a sentence or two); empty where it can do nothing."""
    offered = []
    if found.situation in MAY_COME_BACK:
        offered.append(("wait", f"`hotfoot recover {found.name}` waits, and does nothing to either side."))
    if found.may_pause:
        gives_up = "QEMU gives its connection up, and then only a resume brings it back."
        if verdict.allowed(anyway=True):
            offered.append(("pause", f"`--pause`: {gives_up}"))
        else:
            offered.append(("pause", f"No: {gives_up} {verdict.why}"))
    if found.may_resume:
        words = {
            Resume.SURVIVES: f"After the wait it is tried. {verdict.why}",
            Resume.UNKNOWN: f"`--resume-anyway` tries it after the wait. {verdict.why} {_AFTER_A_CRASH}.",
        }.get(verdict.did, f"No: {verdict.why}")
        offered.append(("resume", words))
    return tuple(offered)
