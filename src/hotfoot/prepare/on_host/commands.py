"""Steps of tools that keep their own state: done by one program, taken back by another."""

import time
from typing import Any, Dict, Optional

from hotfoot.prepare.on_host.ledger import Act, Ledger
from hotfoot.prepare.on_host.programs import TOO_LATE, Trouble, run

_AGAIN_S = 1.0


def command(ledger: Ledger, step: Dict[str, Any]) -> None:
    """Run a program unless ``done_if`` says that there is nothing to do; tried again for ``patience_s``."""
    done_if = list(step.get("done_if") or ())
    timeout_s = float(step.get("timeout_s", 60.0))
    if done_if and run(done_if, timeout_s).status == 0:
        return
    act = ledger.begin(
        "command", argv=list(step["argv"]), undo=list(step.get("undo") or ()), done_if=done_if, timeout_s=timeout_s
    )
    end = time.monotonic() + float(step.get("patience_s", 0.0))
    while True:
        ran = run(step["argv"], timeout_s)
        if ran.status == 0:
            ledger.done(act)
            return
        if done_if and run(done_if, timeout_s).status == 0:  # others did it meanwhile, or it was only slow to say so
            ledger.done(act)
            return
        if time.monotonic() > end:
            break
        time.sleep(_AGAIN_S)
    if ran.status == TOO_LATE:
        raise Trouble("{}: {}".format(step["title"], ran.said))
    raise Trouble("{}: {} ended with {}: {}".format(step["title"], step["argv"][0], ran.status, ran.said or "no word"))


def reads_again(act: Act) -> bool:
    """Whether a command only has files read again: then it is taken back by itself, once all files are back."""
    return bool(act["act"] == "command" and act["undo"] == act["argv"])


def take_back(act: Act) -> Optional[str]:
    """Run what takes a command back; returns why it failed. Nothing for a command that did not come to its end."""
    if not act["undo"]:
        return None
    if act["done_if"] and run(act["done_if"], act["timeout_s"]).status != 0:
        return None
    ran = run(act["undo"], act["timeout_s"])
    if ran.status == 0 or "done" not in act:
        return None
    return "it could not be taken back: {}".format(ran.said or "status {}".format(ran.status))
