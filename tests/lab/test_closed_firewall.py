"""Hosts whose firewall is closed to all but the cluster's hosts and controllers, tried with real connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from tests.lab.labs import TestLab, raised
from tests.lab.tree import differences, tree
from tests.lab.waiting import wait_until

from hotfoot.cluster import load
from hotfoot.prepare.errand import errand
from hotfoot.reach.ssh import prepare
from hotfoot.readiness.change import CloseFirewall
from hotfoot.readiness.firewall_closing import RULES_FILE, TABLE, Closing, rules

STRANGER = "n3"
"""A host of the lab that the cluster file does not name."""
# Refused is not filtered: nothing listens there.
TRY = """
import socket, sys
for port in map(int, sys.argv[2:]):
    try:
        socket.create_connection((sys.argv[1], port), 3).close()
        print("open")
    except ConnectionRefusedError:
        print("refused")
    except OSError:
        print("filtered")
"""


@pytest.fixture(scope="module")
def pair(state: Path) -> Iterator[TestLab]:
    """Two hosts whose cluster file names a controller that is not this machine, and a third that is a stranger."""
    with raised("fw", "--hosts", "3", "--instances", "0", "--storage", "none") as lab:
        lines = lab.cluster.read_text().splitlines()
        kept = [line for line in lines if f"name: {STRANGER}," not in line]
        cluster = lab.cluster.with_name("closed.yaml")
        cluster.write_text("\n".join([*kept, "controllers: [192.0.2.9]"]) + "\n")
        yield TestLab(lab.name, cluster, lab.hosts)


def seen(lab: TestLab, source: str, destination: str, *ports: int) -> list[str]:
    return lab.on(source, "python3", "-c", TRY, destination, *map(str, ports)).split()


def of_a_stranger(lab: TestLab) -> list[str]:
    return seen(lab, STRANGER, "n1", 22, 16514, 49152, 5900, 111)


def of_a_host(lab: TestLab) -> list[str]:
    return seen(lab, "n2", "n1", 22, 16514, 49152, 5900, 111)


OPEN = ["open", "open", "refused", "refused", "refused"]
CLOSED = ["open", "filtered", "filtered", "filtered", "refused"]


def test_it_is_closed_to_strangers_for_good_and_opened_again(pair: TestLab) -> None:
    topic = ("--topic", "firewall")
    assert of_a_stranger(pair) == OPEN
    pair.on("n1", "systemctl", "enable", "--now", "nftables.service")
    before = {host: tree(pair, host) for host in ("n1", "n2")}
    prepared = pair.run("prepare", "--yes", "--json", *topic)
    assert prepared.status == 0, prepared.blocking
    assert prepared.json["findings"] == []
    assert (of_a_stranger(pair), of_a_host(pair)) == (CLOSED, OPEN)
    # The controller that prepared is not named in the cluster file: where it comes from is let in all the same.
    assert pair.run("hosts").status == 0
    again = pair.run("prepare", "--yes", "--json", *topic)
    assert (again.status, again.json["changes"]) == (0, [])

    for verb in ("reload", "restart"):
        pair.on("n1", "systemctl", verb, "nftables.service")
        # systemd loads our table after nftables.service has reloaded, whose end the command waits for.
        wait_until(lambda: of_a_stranger(pair) == CLOSED, f"after a {verb}, strangers are let in")
    pair.lab("fault", "kill-host", "n1")
    pair.lab("fault", "start-host", "n1")
    pair.on("n1", "systemctl", "start", "ssh.service", "libvirtd-tls.socket")  # its boot may not be over
    assert (of_a_stranger(pair), of_a_host(pair)) == (CLOSED, OPEN)

    undone = pair.run("prepare", "--undo", prepared.json["run"], "--yes")
    assert undone.status == 0, undone.out + undone.err
    assert of_a_stranger(pair) == OPEN
    for host in ("n1", "n2"):
        assert TABLE not in pair.on(host, "nft", "list", "tables")
        assert differences(before[host], tree(pair, host)) == []


def test_what_nobody_confirms_the_host_takes_back(pair: TestLab, tmp_path: Path) -> None:
    cluster = load(pair.cluster, Path("/"))
    access = prepare(cluster, tmp_path)
    span = ((16514, 16514),)
    text = rules(Closing(hosts=("192.0.2.1",), ports=span, controllers=(), controller_ports=(), ssh_port=22))
    mark = text.rpartition('comment "')[2].partition('"')[0]
    pair.on("n2", "sh", "-c", f"mkdir -p /etc/hotfoot; cat > {RULES_FILE} <<'E'\n{text}E")
    step = CloseFirewall(path=RULES_FILE, table=TABLE, mark=mark, confirm_s=10)
    order: dict[str, Any] = {"n": 0, "title": "try", "step": step.model_dump(mode="json"), "new_text": None}
    request = {"op": "apply", "run": "unconfirmed", "stage": 35, "orders": [order | {"old_sha256": "", "pem": None}]}

    async def told(what: dict[str, Any]) -> list[dict[str, Any]]:
        async with aclosing(errand(access, cluster.host("n2"), what, anew=True)) as answers:
            return [answer async for answer in answers]

    answers = asyncio.run(told(request))
    assert answers[-1]["gives"] == {"confirm": mark}
    deadline = time.monotonic() + 120
    while TABLE in pair.on("n2", "nft", "list", "tables"):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    late = {"op": "confirm", "run": "unconfirmed", "table": TABLE, "mark": mark}
    with pytest.raises(Exception, match="nobody confirmed the new rules in time"):
        asyncio.run(told(late))
    assert asyncio.run(told({"op": "undo", "run": "unconfirmed", "stage": 35}))[-1]["state"] == "undone"
    pair.on("n2", "rm", "-r", "/etc/hotfoot")
