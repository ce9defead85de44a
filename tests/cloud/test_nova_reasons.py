from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.cloud.nova_words import action, failed

from hotfoot.cloud.nova_reasons import Moving, log_answer, log_question, reason, said_by, was_cancelled

RECORDED = Path(__file__).with_name("recorded")
MOVING = Moving(name="web1", source="n1", destination="n2")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Compute service of n2 is unavailable at this time.", "nova-compute on n2 is not up"),
        ("Compute host n9 could not be found.", "Nova has no compute host n9"),
        ("Unacceptable CPU info: CPU doesn't have compatibility.", "The CPU of n2 cannot run web1 as it was started"),
        (
            "n2 is not on shared storage: Shared storage live-migration requires either shared storage or"
            " boot-from-volume with no local disks.",
            "are not on storage that n1 and n2 share; leave out --no-block",
        ),
        (
            "n2 is not on local storage: Block migration can not be used with shared storage.",
            "nothing to copy; leave out --block",
        ),
        (
            "Migration pre-check error: Unable to migrate web1 to n2: Lack of memory(host:64 <= instance:128)",
            "n2 has no room for web1 any more (host:64 <= instance:128)",
        ),
        (
            "The supplied disk path (/var/lib/nova/instances/3f0c) already exists, it is expected not to exist.",
            "has left /var/lib/nova/instances/3f0c on n2; Nova removes it when it gives this one up: try it again",
        ),
        ("Anti-affinity instance group policy was violated", "The anti-affinity rule of a server group"),
        ("Insufficient compute resources: Free memory 10.00 MB < requested 128 MB.", "n2 has no room for web1"),
        ("Quota exceeded for cores: Requested 1, but already used 20 of 20 cores", "The quota of the project of web1"),
        (
            "Binding failed for port 11111111-2222-3333-4444-555555555555, please check neutron logs for more"
            " information.",
            "Neutron cannot bind port 11111111-2222-3333-4444-555555555555 of web1 on n2",
        ),
        ("Unable to migrate instance (x) to current host (n2).", "is already on n2"),
        ("Instance 3f0c is locked", "web1 is locked"),
        (
            "Cannot 'os-migrateLive' instance 3f0c while it is in vm_state stopped",
            "web1 is in vm_state stopped, in which Nova does not move it",
        ),
        ("No valid host was found. There are not enough hosts available.", "does not let web1 go to n2"),
        ("Something entirely new happened.", "Nova says: Something entirely new happened."),
        (
            "libvirtError: internal error: unable to connect to server at 'n2:49152': Connection refused",
            "n1 cannot connect to n2 for the memory stream",
        ),
        (
            "libvirtError: The server certificate failed validation: The certificate hasn't got a known issuer.",
            "n2 and n1 refuse each other's certificates",
        ),
    ],
)
def test_the_words_of_nova_become_the_operators(said: str, words: str) -> None:
    assert words in (reason((said,), MOVING) or "")


def test_the_scheduler_without_a_host_says_less_than_what_a_host_said() -> None:
    told = action(
        failed("compute_check_can_live_migrate_destination", "2026-11-21T20:00:01", details=None, traceback="""\
  File "nova/virt/libvirt/driver.py", line 10, in check_can_live_migrate_destination
    raise exception.InvalidCPUInfo(reason=m % {'ret': ret, 'u': u})
nova.exception.InvalidCPUInfo: Unacceptable CPU info: CPU doesn't have compatibility.
"""),
        failed("conductor_live_migrate_instance", "2026-11-21T20:00:02", details="No valid host was found."),
    )  # fmt: skip
    said = said_by(told, {"message": "No valid host was found.", "details": ""})
    assert said == ("Unacceptable CPU info: CPU doesn't have compatibility.", "No valid host was found.")
    assert "The CPU of n2" in (reason(said, MOVING) or "")


def _recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text())["instanceAction"]
    return found


def test_what_nova_34_really_said() -> None:
    shared = said_by(_recorded("nova_block_on_shared_storage"))
    assert "n1 is not on local storage" in shared[0]
    assert "leave out --block" in (reason(shared, MOVING) or "")
    disabled = said_by(_recorded("nova_disabled_destination"))
    assert "scheduler does not let web1 go to n2" in (reason(disabled, MOVING) or "")


def test_a_nova_without_details_tells_the_name_of_what_it_raised() -> None:
    bare = _recorded("nova_block_on_shared_storage")
    events = [{**event, "details": None} for event in bare["events"]]
    assert "leave out --block" in (reason(said_by({"events": events}), MOVING) or "")


def test_the_name_of_an_exception_alone_says_nothing_and_success_is_no_reason() -> None:
    fine = {"event": "conductor", "result": "Success", "finish_time": "1", "traceback": None, "details": None}
    assert said_by(action(fine, failed("compute_live_migration", "2", details="libvirtError"))) == ()
    assert reason((), MOVING) is None
    assert said_by(None) == ()


def test_an_abort_is_told_from_a_failure() -> None:
    said = said_by(
        action(
            failed(
                "compute__do_live_migration",
                "2",
                traceback="x\nlibvirt.libvirtError: operation aborted: migration out: job canceled by client\n",
            )
        )
    )
    assert was_cancelled(said)
    assert reason(said, MOVING) is None
    assert not was_cancelled(("libvirtError: internal error: qemu unexpectedly closed the monitor",))


def test_without_a_destination_the_scheduler_found_none() -> None:
    anywhere = Moving(name="web1", source="n1", destination=None)
    assert "finds no host for web1" in (reason(("No valid host was found.",), anywhere) or "")


def test_the_log_tells_of_this_server_and_its_first_error_first() -> None:
    log = (
        "2026-11-21 20:00:01.000 7 ERROR nova.virt.libvirt.driver [req] [instance: u] Live Migration failure: internal"
        " error: first: libvirt.libvirtError: internal error: first\n"
        "2026-11-21 20:00:02.000 7 ERROR nova.compute.manager [req] [instance: u] libvirt.libvirtError: second\n"
    )
    assert log_answer(log)[0].startswith("libvirtError: internal error: first")
    assert log_answer("") == ()
    again = "12:34:33.9 7 INFO x [instance: u] Instance found in migrating state during startup. Resetting task_state\n"
    why = reason(log_answer(log + again), MOVING) or ""
    assert why.startswith("nova-compute on n1, the source, was started again in the middle")
    done = subprocess.run(["sh", "-n"], input=log_question("u'1", 12.3), text=True, check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")
