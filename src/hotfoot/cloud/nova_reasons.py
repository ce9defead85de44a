"""Why Nova did not move a server, in the operator's words. Pure.

Nova tells it in up to four places, none of them complete: the events of the instance action (to an administrator with
the stack, from 2.84 on with the message), the server's fault, the answer of the API, and nova-compute's log. What they
quote is the message of an exception of Nova's (nova/exception.py), or of libvirt's.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hotfoot.cloud.libvirt_errors import Asked, sentence

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving:
    """What was to be moved; ``destination`` is None where Nova was to choose, or has not yet."""

    name: str
    source: str
    destination: str | None

    @property
    def there(self) -> str:
        """The destination as it stands in a sentence."""
        return self.destination or "the destination"


STARTED_AGAIN = "Instance found in migrating state during startup"
"""What nova-compute logs of a server that was being moved when it was started: it aborts that (``_init_instance``)."""
_RULES = (
    (
        STARTED_AGAIN,
        "nova-compute on {source}, the source, was started again in the middle, and then breaks off what it finds under"
        " way.",
    ),
    (
        r"compute service of (?P<who>.+?) is unavailable",
        "nova-compute on {who} is not up; start it there (`systemctl status nova-compute`), or choose another host.",
    ),
    (
        r"compute host (?P<who>\S+) could not be found",
        "Nova has no compute host {who}; `hotfoot hosts` lists those that it has.",
    ),
    (
        r"unacceptable cpu info:?\s*(?P<detail>.*)",
        "The CPU of {there} cannot run {name} as it was started ({detail}); choose another host, or a CPU model that"
        " both have (cpu_mode and cpu_models in nova.conf).",
    ),
    (
        r"is not on local storage|block migration can not be used with shared storage",
        "The disks of {name} are on storage that {source} and {there} share, so that there is nothing to copy; leave"
        " out --block.",
    ),
    (
        r"is not on shared storage|without shared storage|requires either shared storage",
        "The disks of {name} are not on storage that {source} and {there} share; leave out --no-block, so that they are"
        " copied.",
    ),
    (
        r"supplied disk path \((?P<detail>.+?)\) already exists",
        "A move of {name} that was broken off has left {detail} on {there}; Nova removes it when it gives this one up:"
        " try it again.",
    ),
    (
        r"(?P<kind>anti-affinity|affinity|soft-\S+)\s+(server|instance) group policy was violated",
        "The {kind} rule of a server group of {name} forbids {there}; choose another host.",
    ),
    (
        r"lack of memory\((?P<detail>.*?)\)|too large ?\((?P<detail2>.*?)\)|"
        r"insufficient compute resources:?\s*(?P<detail3>.*)",
        "{there} has no room for {name} any more ({detail}): something else may have taken it in the meantime.",
    ),
    (
        r"(failed to (swap|move) allocations|allocation.*(conflict|update failed)|"
        r"unable to (swap|move|claim) (resources|allocations)|no longer enough)(?P<detail>.*)",
        "What {name} needs on {there} was claimed by something else in the meantime; try it again.",
    ),
    (r"quota exceeded(?P<detail>.*)", "The quota of the project of {name} does not allow it{detail}."),
    (
        r"binding failed for port (?P<who>[0-9a-f-]+)",
        "Neutron cannot bind port {who} of {name} on {there}: is its agent alive there (`openstack network agent"
        " list`), and does that host have the port's network?",
    ),
    (r"to current host", "{name} is already on {there}: source and destination are the same host."),
    (
        r"newer hypervisor version|hypervisor .*too old",
        "The hypervisor of {there} is older than that of {source}; choose a host with at least the same version.",
    ),
    (r"supplied hypervisor type", "{there} has another kind of hypervisor than {source}; choose another host."),
    (
        r"connection to the hypervisor is broken",
        "nova-compute has lost its libvirt on one of the two hosts; look at `systemctl status libvirtd` there.",
    ),
    (r"numa topology", "{name} has a NUMA topology, which this Nova does not move live; move it with --cold."),
    (
        r"vif with related pci|persistent memory|vtpm|virtual pmem|not supported for .*(device|accelerator)",
        "{name} uses a device of {source} that cannot move with it ({raw}).",
    ),
    (r"is locked", "{name} is locked; unlock it first (`openstack server unlock {name}`)."),
    (
        r"cannot '?(?P<who>[\w-]+)'? .*while it is in (?P<detail>[\w ]+)",
        "{name} is in {detail}, in which Nova does not move it; `hotfoot show {name}` shows it.",
    ),
    (
        r"in (?P<detail>(vm_state|task_state|power_state) \S+?)\. cannot",
        "Nova does not move {name}: it is in {detail}.",
    ),
    (
        r"unable to (resize|migrate)|resize error:?\s*(?P<detail>.*)|ssh command failed|host key verification failed",
        "{source} cannot hand the disks of {name} to {there} ({raw}): for a cold migration from local storage the user"
        " of nova-compute must be able to log in to the other host by SSH.",
    ),
    (
        r"timed out waiting for a reply|messagingtimeout",
        "nova-compute on {there} or {source} did not answer Nova's conductor in time ({raw}); is its RabbitMQ"
        " reachable?",
    ),
    (
        r"amqp|rabbit|messaging server",
        "Nova's parts could not reach each other over RabbitMQ ({raw}); try it again when it is back.",
    ),
)
"""What Nova says -> what it means; the first that fits counts, so that the more special come first."""

_NOT_LIVE = re.compile(
    r"numa topology|vif with related pci|persistent memory|vtpm|virtual pmem|not supported for .*device",
    re.IGNORECASE,
)
_LIBVIRT = re.compile(r"(?:libvirt\.libvirtError|libvirtError|Live Migration failure): (?P<said>.+)")
_REMOTE_ERROR = re.compile(r"^Remote error: \w+ ", re.IGNORECASE)
_EXCEPTION = re.compile(r"^(?:[\w.]+\.)?(?P<kind>[A-Z]\w*(?:Error|Exception|Host|Found|Unavailable|Info|Storage|"
                        r"Type|Self|Old|State|Exceeded|Failed|Violation|Timeout|Locked|Supported|Refused))(?:_Remote)?:"
                        r" (?P<said>.*)$", re.MULTILINE)  # fmt: skip
_RAISED = re.compile(r"raise exception\.(\w+)\(")
_WITHOUT_DETAILS = {
    "NoValidHost": "No valid host was found.",
    "ComputeServiceUnavailable": "Compute service of the host is unavailable.",
    "InvalidCPUInfo": "Unacceptable CPU info",
    "InvalidLocalStorage": "The path is not on local storage.",
    "InvalidSharedStorage": "The path is not on shared storage.",
    "DestinationHypervisorTooOld": "A newer hypervisor version is required.",
}
"""What an exception says, by its name: all that a Nova before microversion 2.84 tells of it."""
_TELLS_NOTHING = re.compile(r"^\w*$")
"""The bare name of an exception, which is all that Nova shows of one that is not its own."""
_CANCELLED = re.compile(r"cancel(l)?ed by client|operation aborted|job: canceled", re.IGNORECASE)


def said_by(action: Json | None, fault: Json | None = None, log: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what was said of a failure, the most exact first: nova-compute's log, events in their order, the fault."""
    texts: list[str] = [*log]
    events = [one for one in (action or {}).get("events") or () if one.get("result") == "Error"]
    for event in sorted(events, key=lambda one: str(one.get("finish_time") or "")):
        texts.append(str(event.get("details") or ""))
        texts += _of_traceback(str(event.get("traceback") or ""))
    if fault:
        texts += _of_traceback(str(fault.get("details") or ""))
        texts.append(str(fault.get("message") or ""))
    flat = (" ".join(text.split()) for text in texts)
    return tuple(dict.fromkeys(text for text in flat if not _TELLS_NOTHING.match(text)))


def _of_traceback(text: str) -> Iterator[str]:
    """Return the message of the exception that a traceback ends with; that of an event ends before it."""
    if found := _LIBVIRT.findall(text):
        yield f"libvirtError: {found[-1]}"
    elif matches := list(_EXCEPTION.finditer(text)):
        yield matches[-1]["said"]
    elif raised := _RAISED.findall(text):
        yield _WITHOUT_DETAILS.get(raised[-1], "")


def was_cancelled(said: Sequence[str]) -> bool:
    """Whether libvirt says that somebody ended the job."""
    return any(_CANCELLED.search(text) for text in said)


def reason(said: Sequence[str], moving: Moving) -> str | None:
    """Say in one sentence why it was not moved; None when nobody said anything.

    What no rule knows is quoted: better read raw than guessed.
    """
    for text in said:
        if (match := _LIBVIRT.search(text)) and not _CANCELLED.search(text):
            asked = Asked(
                host=moving.source,
                transport="tls",
                port=16514,
                destination=moving.there,
                destination_port=16514,
                instance=moving.name,
            )
            return sentence(match["said"], asked)
    for text in said:
        if found := _by_rule(text, moving):
            return found
    if any("no valid host" in text.lower() for text in said):
        return _no_valid_host(moving)
    quoted = next((text for text in said if not _CANCELLED.search(text)), None)
    return f"Nova says: {_REMOTE_ERROR.sub('', quoted).rstrip('.')}." if quoted else None


def _by_rule(text: str, moving: Moving) -> str | None:
    for pattern, words in _RULES:
        match = re.search(pattern, text, re.IGNORECASE)
        if match is None:
            continue
        found = match.groupdict()
        detail = next((value for key, value in found.items() if key.startswith("detail") and value), "")
        return words.format(
            name=moving.name,
            source=moving.source,
            there=moving.there,
            who=found.get("who") or "",
            kind=(found.get("kind") or "").lower(),
            detail=detail.strip().rstrip(".") or "it does not say what",
            raw=text.rstrip("."),
        )
    return None


def only_cold(said: Sequence[str]) -> bool:
    """Whether Nova says that it moves the server live to no host, for what it is made of."""
    return any(_NOT_LIVE.search(each) for each in said)


def _no_valid_host(moving: Moving) -> str:
    if moving.destination:
        return (
            f"Nova's scheduler does not let {moving.name} go to {moving.destination} (no valid host): room, a disabled"
            " service, a server group, an aggregate, an availability zone or a trait forbids it; the scheduler's log"
            " names the filter."
        )
    return (
        f"Nova's scheduler finds no host for {moving.name} (no valid host): none is up, enabled, has the room, and"
        " keeps its server groups, aggregates, availability zone and traits; `hotfoot hosts` shows the hosts."
    )


_LOG_SCRIPT = r"""
since=$(date -d "-$AGE seconds" '+%F %T') || exit 0
{
  for log in /var/log/nova/nova-compute.log /var/log/kolla/nova/nova-compute.log; do
    [ -r "$log" ] && tail -n 4000 -- "$log" | awk -v since="$since" '$1 " " $2 >= since'
  done
  journalctl --no-pager -q -o cat --since "$since" -u '*nova-compute*' -u '*n-cpu*'
} 2>/dev/null | grep -F -e "$WHICH" | grep -F -e ERROR -e "$STARTED_AGAIN" | tail -n 20
"""
"""POSIX shell with coreutils, awk, grep; never writes. The host's own clock counts."""


def log_question(uuid: str, age_s: float) -> str:
    """Return the script that reads what nova-compute of a host logged as errors of one server, not longer ago."""
    values = f"WHICH={shlex.quote(uuid)} AGE={round(age_s)} STARTED_AGAIN={shlex.quote(STARTED_AGAIN)}"
    return f"{values}\n{_LOG_SCRIPT}"


def log_answer(text: str) -> tuple[str, ...]:
    """Return the libvirt errors of such a log, the first of them first: what comes later follows from it.

    Of a nova-compute that was started meanwhile only that: its errors are of its abort, which may have come too late.
    """
    if STARTED_AGAIN in text:
        return (STARTED_AGAIN,)
    return tuple(dict.fromkeys(f"libvirtError: {match['said']}" for match in _LIBVIRT.finditer(text)))
