"""Packages by apt or dnf: which were new is known before they come, so that just those can go again."""

import os
import re
from typing import Any, Dict, List, Optional, Sequence, Set

from hotfoot.prepare.on_host import files
from hotfoot.prepare.on_host.ledger import Act, Ledger
from hotfoot.prepare.on_host.programs import Ran, Trouble, run, there

PATIENCE_S = 1800.0
_POLICY = "/usr/sbin/policy-rc.d"
_POLICY_TEXT = (
    b"#!/bin/sh\n# Hotfoot is installing packages: it starts services itself, those that are needed.\nexit 101\n"
)
_APT = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Options::=--force-confold"]
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "APT_LISTCHANGES_FRONTEND": "none"}


def install(ledger: Ledger, step: Dict[str, Any]) -> None:
    """Install what is missing of the packages, without recommended ones, and without starting their services."""
    names = list(step["packages"])
    if there("apt-get"):
        _by_apt(ledger, names)
    elif there("dnf"):
        _by_dnf(ledger, names)
    else:
        raise Trouble("this host has neither apt nor dnf; install {} by hand".format(" ".join(names)))


def take_back(act: Act, force: bool) -> Optional[str]:
    """Remove the packages that were new; returns why not."""
    return _apt_take_back(act, force) if act["by"] == "apt" else _dnf_take_back(act)


def _by_apt(ledger: Ledger, names: Sequence[str]) -> None:
    if all(name in _installed_by_apt() for name in names):
        return
    run(["dpkg", "--configure", "-a"], PATIENCE_S, env=_QUIET)  # what a killed run left half installed
    forecast = run(_APT + ["-s", "--no-install-recommends", "install"] + list(names), 120, env=_QUIET)
    if forecast.status != 0:  # the lists may be old or not there at all
        updated = run(["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", "update"], 300, env=_QUIET)
        forecast = run(_APT + ["-s", "--no-install-recommends", "install"] + list(names), 120, env=_QUIET)
        if forecast.status != 0:
            raise Trouble(_no_source(names, updated if "Failed to fetch" in updated.err else forecast))
    removed = re.findall(r"^Remv (\S+)", forecast.out, re.MULTILINE)
    if removed:
        raise Trouble("apt would remove {} for {}; install it by hand".format(" ".join(removed), " ".join(names)))
    coming = re.findall(r"^Inst (\S+) (\[)?", forecast.out, re.MULTILINE)
    new = sorted(name for name, old in coming if not old)
    act = ledger.begin("packages", by="apt", packages=new, upgraded=sorted(name for name, old in coming if old))
    made_policy = not os.path.lexists(_POLICY)
    if made_policy:
        files.put(ledger, _POLICY, _POLICY_TEXT, 0o755, "root:root")
    try:
        ran = run(_APT + ["--no-install-recommends", "install"] + list(names), PATIENCE_S, env=_QUIET)
    finally:
        if made_policy or _policy_is_ours():
            os.unlink(_POLICY)
    if ran.status != 0:
        raise Trouble(_no_source(names, ran))
    ledger.done(act)


def _policy_is_ours() -> bool:
    return os.path.isfile(_POLICY) and files.content(os.path.realpath(_POLICY)) == _POLICY_TEXT


def _apt_take_back(act: Act, force: bool) -> Optional[str]:
    run(["dpkg", "--configure", "-a"], PATIENCE_S, env=_QUIET)
    known = _known_to_dpkg()
    names = [name for name in act["packages"] if name in known]
    if not names:
        return None
    forecast = run(_APT + ["-s", "purge"] + names, 120, env=_QUIET)
    others = sorted(set(re.findall(r"^(?:Remv|Purg) (\S+)", forecast.out, re.MULTILINE)) - set(act["packages"]))
    if forecast.status == 0 and others and not force:
        return "the packages {} were left, because {} need them now".format(" ".join(names), " ".join(others))
    ran = run(_APT + ["purge"] + names, PATIENCE_S, env=_QUIET)
    return None if ran.status == 0 else "the packages {} could not be removed: {}".format(" ".join(names), ran.said)


def _by_dnf(ledger: Ledger, names: Sequence[str]) -> None:
    before = _installed_by_rpm()
    if all(name in before or run(["rpm", "-q", "--whatprovides", name], 60).status == 0 for name in names):
        return
    # dnf cannot foretell in a form for programs: what is there before tells what was new, a killed run's too.
    act = ledger.begin("packages", by="dnf", before=sorted(before), packages=[])
    ran = run(["dnf", "-y", "-q", "--setopt=install_weak_deps=False", "install"] + list(names), PATIENCE_S)
    if ran.status != 0:
        raise Trouble(_no_source(names, ran))
    ledger.done(act, packages=sorted(_installed_by_rpm() - before))


def _dnf_take_back(act: Act) -> Optional[str]:
    now = _installed_by_rpm()
    new = act["done"]["packages"] if "done" in act else sorted(now - set(act["before"]))
    names = [name for name in new if name in now]
    if not names:
        return None
    ran = run(["rpm", "-e"] + names, PATIENCE_S)
    return None if ran.status == 0 else "the packages {} could not be removed: {}".format(" ".join(names), ran.said)


def _no_source(names: Sequence[str], ran: Ran) -> str:
    said = ran.err + ran.out
    unreachable = ("Failed to fetch", "Could not resolve", "Unable to locate", "no installation candidate",
                   "Unable to find a match", "No match for argument", "Cannot download", "Failed to download",
                   "There are no enabled repositories")  # fmt: skip
    what = " ".join(names)
    if any(sign in said for sign in unreachable):
        return "no package source that this host reaches has {}; give it one, or install it by hand ({})".format(
            what, ran.said
        )
    return "{} could not be installed: {}".format(what, ran.said)


def _installed_by_apt() -> Set[str]:
    rows = run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n"]).out.split("\n")
    return {row.split(" ", 1)[1] for row in rows if row.startswith("installed ")}


def _known_to_dpkg() -> List[str]:
    rows = run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${binary:Package}\n"]).out.split("\n")
    return [name for row in rows if row and not row.startswith("not-installed") for name in row.split(" ")[1:]]


def _installed_by_rpm() -> Set[str]:
    return set(run(["rpm", "-qa", "--qf", "%{NAME}\n"]).out.split())
