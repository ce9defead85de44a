"""The lab's network: two bridges in the supervisor's namespace, a port for each host, and a way in for the machine.

Bridge ``mgmt`` carries management, storage and migrations, bridge ``data`` the instances. A host has eth0 on the
first and eth1 (under its own bridge br0) on the second. On the machine itself only two links appear, hfNm and
hfNd; they vanish with the supervisor's namespace.
"""

from __future__ import annotations

import json
from pathlib import Path

from hotfoot.lab.command import LabError, run
from hotfoot.lab.namespaces import host_argv
from hotfoot.lab.spec import Lab, LabHost, controller_address, controller_data_address, parse_rate

_BRIDGES = {"mgmt": "m", "data": "d"}
_DELETE_LINK = ("sh", "-c", 'ip link delete "$1" 2>/dev/null || :', "sh")
"""And the name of a link, which may be gone."""


def machine_links(lab_number: int) -> tuple[str, str]:
    """Return the names of the two links on the machine."""
    return f"hf{lab_number}m", f"hf{lab_number}d"


def first_free_number(taken: set[int]) -> int:
    """Return the first lab number whose networks nothing on this machine uses."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]")
    addresses = json.loads(run(["ip", "-json", "-4", "address"]) or "[]")
    used = {str(route.get("dst", "")).split("/")[0].rpartition(".")[0] for route in routes}
    used |= {info["local"].rpartition(".")[0] for link in addresses for info in link.get("addr_info", [])}
    for number in range(256):
        if number not in taken and f"10.77.{number}" not in used and f"10.88.{number}" not in used:
            return number
    raise LabError("No network is free for a lab: 10.77.0.0/24 to 10.77.255.0/24 are all in use on this machine.")


def build(supervisor: int, lab_number: int) -> None:
    """Make the bridges and the machine's links to them."""
    inside = ["nsenter", "-t", str(supervisor), "--net", "--", "ip", "-batch", "-"]
    run(
        inside,
        stdin="".join(f"link add {bridge} type bridge forward_delay 0\nlink set {bridge} up\n" for bridge in _BRIDGES),
    )
    lines, ports = [], []
    addresses = (controller_address(lab_number), controller_data_address(lab_number))
    for link, bridge, address in zip(machine_links(lab_number), _BRIDGES, addresses, strict=True):
        lines.append(f"link add {link} type veth peer name up-{bridge} netns {supervisor}")
        lines.append(f"address add {address}/24 dev {link}\nlink set {link} up")
        ports.append(f"link set up-{bridge} master {bridge} up")
    run(["ip", "-batch", "-"], stdin="\n".join(lines) + "\n")
    run(inside, stdin="\n".join(ports) + "\n")


def connect(supervisor: int, host: LabHost, init_pid: int) -> None:
    """Give a host its two links."""
    lines = []
    macs = (host.management_mac, host.data_mac)
    for link, mac, (bridge, letter) in zip(("eth0", "eth1"), macs, _BRIDGES.items(), strict=True):
        port = f"{letter}{host.number}"
        lines.append(f"link add {port} type veth peer name {link} address {mac} netns {init_pid}")
        lines.append(f"link set {port} master {bridge} up")
    run(["nsenter", "-t", str(supervisor), "--net", "--", "ip", "-batch", "-"], stdin="\n".join(lines) + "\n")


def disconnect(supervisor: int, host: LabHost) -> None:
    """Take away what is left of the links of a host that was killed.

    What it had sent, and nobody acknowledged for a cut link, keeps its network alive for minutes.
    """
    for letter in _BRIDGES.values():
        run(["nsenter", "-t", str(supervisor), "--net", "--", *_DELETE_LINK, f"{letter}{host.number}"])


def shape(lab: Lab, host: LabHost, rate: str) -> None:
    """Limit a running host's management link in both directions to a rate such as ``200mbit``."""
    bits = parse_rate(rate)
    # tbf needs room for what arrives between two timer ticks (250 Hz at worst), and for one offloaded packet.
    burst = max(bits // 8 // 250, 128 * 1024)
    limit = ["root", "tbf", "rate", f"{bits}bit", "burst", str(burst), "latency", "50ms"]
    run(
        [
            "nsenter",
            "-t",
            str(lab.supervisor_pid),
            "--net",
            "--",
            "tc",
            "qdisc",
            "replace",
            "dev",
            f"m{host.number}",
            *limit,
        ]
    )
    inside = host_argv(lab, host) if lab.vm_accelerator else ["nsenter", "-t", str(host.init_pid), "--net", "--"]
    run([*inside, "tc", "qdisc", "replace", "dev", "eth0", *limit])


def set_link(lab: Lab, host: LabHost, *, up: bool) -> None:
    """Cut a host's management link at the switch, or mend it (its instances' network stays as it is)."""
    state = "up" if up else "down"
    run(
        [
            "nsenter",
            "-t",
            str(lab.supervisor_pid),
            "--net",
            "--",
            "ip",
            "link",
            "set",
            f"m{host.number}",
            state,
        ]
    )


def link_is_up(lab: Lab, host: LabHost) -> bool:
    """Tell whether a host's management link is whole at the switch."""
    text = run(
        [
            "nsenter",
            "-t",
            str(lab.supervisor_pid),
            "--net",
            "--",
            "ip",
            "-json",
            "link",
            "show",
            f"m{host.number}",
        ]
    )
    return "UP" in json.loads(text)[0]["flags"]


def remove_machine_links(lab_number: int) -> None:
    """Remove the machine's links, where the death of the namespace has not done so yet."""
    for link in machine_links(lab_number):
        if Path(f"/sys/class/net/{link}").exists():
            run([*_DELETE_LINK, link])
