"""The host's firewall closed on trial: the host opens it again by itself, unless the controller is let in anew."""

import os
import shlex
from typing import Any, Dict, Optional

from hotfoot.prepare.on_host.ledger import Act, Ledger
from hotfoot.prepare.on_host.programs import Trouble, run, there

_TIMER = "hotfoot-open-again"


def close_firewall(ledger: Ledger, step: Dict[str, Any]) -> Optional[Dict[str, str]]:
    """Load the rules, and give word that they are to be confirmed; nothing where they are in force already."""
    table, path = step["table"], step["path"]
    if step["mark"] in _rules(table):
        waits = run(["systemctl", "is-active", _TIMER + ".timer"], 20).status == 0
        return {"confirm": step["mark"]} if waits else None
    checked = run(["nft", "-c", "-f", path], 20)
    if checked.status != 0:
        raise Trouble("nft refuses {}: {}".format(path, checked.said))
    former = _rules(table)
    kept = os.path.join(ledger.folder, "files", ledger.save(former.encode())) if former else ""
    act = ledger.begin("closed", table=table, former=former)
    _arm(_taking_back(table, kept), float(step["confirm_s"]))
    ran = run(["nft", "-f", path], 20)
    if ran.status != 0:
        disarm()
        ledger.undone(act)
        raise Trouble("nft could not load {}: {}".format(path, ran.said))
    ledger.done(act)
    return {"confirm": step["mark"]}


def confirm(table: str, mark: str) -> None:
    """Keep the rules. Raises Trouble where they were taken back already."""
    disarm()
    if mark not in _rules(table):
        raise Trouble("nobody confirmed the new rules in time, and the host has taken them back")


def disarm() -> None:
    """Have the rules not taken back any more."""
    run(["systemctl", "stop", _TIMER + ".timer", _TIMER + ".service"], 30)


def take_back(act: Act) -> Optional[str]:
    """Give the table its rules of before, or remove it; returns why not."""
    disarm()
    if _rules(act["table"]):
        ran = run(["nft", "delete", "table", "inet", act["table"]], 20)
        if ran.status != 0:
            return "nft could not remove the table {}: {}".format(act["table"], ran.said)
    if act["former"]:
        ran = run(["nft", "-f", "-"], 20, act["former"])
        if ran.status != 0:
            return "nft could not load the rules of before: {}".format(ran.said)
    return None


def _arm(script: str, after_s: float) -> None:
    """Have systemd run a script later: it outlives this program, the login, and its session."""
    if not there("systemd-run"):
        raise Trouble("systemd-run is not there, which would open the firewall again if that were needed")
    disarm()
    argv = ["systemd-run", "--quiet", "--collect", "--unit=" + _TIMER, "--on-active={:g}s".format(after_s)]
    ran = run([*argv, "--timer-property=AccuracySec=100ms", "--", "/bin/sh", "-c", script], 30)
    if ran.status != 0:
        raise Trouble("systemd does not take the order to open the firewall again: {}".format(ran.said))


def _taking_back(table: str, kept: str) -> str:
    script = "nft delete table inet {}".format(shlex.quote(table))
    return "{}; nft -f {}".format(script, shlex.quote(kept)) if kept else script


def _rules(table: str) -> str:
    """The running rules of a table, in the form that nft reads; empty where there is none."""
    ran = run(["nft", "list", "table", "inet", table], 20)
    return ran.out if ran.status == 0 else ""
