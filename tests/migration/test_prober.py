"""The outage watch against real sockets, and against a link that is really cut."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from hotfoot.errors import HotfootError
from hotfoot.migration.echo import IcmpAsker
from hotfoot.migration.outage import Method, Outage
from hotfoot.migration.prober import OutageWatch, reachable


def icmp_allowed() -> bool:
    try:
        IcmpAsker("127.0.0.1").close()
    except PermissionError:
        return False
    return True


needs_icmp = pytest.mark.skipif(not icmp_allowed(), reason="needs root, or a group in net.ipv4.ping_group_range")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace")


def wait_for(watch: OutageWatch, probes: int) -> Outage:
    while (seen := watch.snapshot()).probes_sent < probes:
        time.sleep(0.01)
    return seen


def watched(address: str, method: Method, probes: int, **options: int) -> Outage:
    watch = OutageWatch(address, method, **options)
    watch.start()
    wait_for(watch, probes)
    return watch.stop()


@needs_icmp
@pytest.mark.parametrize("address", ["127.0.0.9", "::1"])
def test_icmp_is_answered_here(address: str) -> None:
    if address == "::1" and not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this machine has no IPv6")
    seen = watched(address, "icmp", 20)
    assert seen.probes_sent >= 20
    assert seen.probes_lost == 0
    assert seen.reachable
    assert reachable(address) == "icmp"


@needs_icmp
def test_the_kernel_takes_every_request_for_whole() -> None:
    # A request whose checksum is wrong is dropped unanswered.
    asked = [0, 1, 0x7FFF, 0xFFFF, 0x1_0000, 0x1_FFFF, 0xFFFF_FFFF, 0x1234_5678_9ABC]
    with closing(IcmpAsker("127.0.0.9")) as asker:
        for sequence in asked:
            asker.ask(sequence)
        seen: list[int] = []
        until_s = time.monotonic() + 5
        while len(seen) < len(asked) and time.monotonic() < until_s:
            seen += [sequence for sequence, _ in asker.answers()]
            time.sleep(0.01)
    assert sorted(seen) == asked


@pytest.mark.parametrize("listening", [True, False])
def test_tcp_accepted_and_refused_are_both_answers(listening: bool) -> None:
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.9", 0))
        if listening:
            server.listen(100)
        seen = watched("127.0.0.9", "tcp", 5, tcp_port=server.getsockname()[1])
    assert seen.method == "tcp"
    assert seen.probes_lost == 0
    assert seen.reachable


@needs_icmp
def test_watches_side_by_side_do_not_mix() -> None:
    watches = [OutageWatch(address) for address in ("127.0.0.9", "127.0.0.9", "127.0.0.10")]
    for watch in watches:
        watch.start()
    for watch in watches:
        wait_for(watch, 20)
    for watch in watches:
        seen = watch.stop()
        assert seen.probes_lost == 0
        assert watch.stop() == seen


def test_stopping_a_watch_that_never_started_knows_nothing() -> None:
    seen = OutageWatch("127.0.0.9", "tcp").stop()
    assert (seen.probes_sent, seen.outage_ms) == (0, None)


@pytest.mark.parametrize("address", ["vm1.example.org", "", "10.0.0.300", "10.0.0.1/24"])
def test_a_name_is_refused_in_one_sentence(address: str) -> None:
    with pytest.raises(HotfootError, match="give the instance's IPv4 or IPv6 address"):
        reachable(address)
    with pytest.raises(HotfootError, match="give the instance's IPv4 or IPv6 address"):
        OutageWatch(address, "tcp")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def far_side() -> Iterator[tuple[str, str]]:
    """A namespace behind a veth: yields the link's name on this side, and the address over there."""
    suffix = f"{os.getpid() % 100_000}"
    namespace, near, far = f"hf-watch-{suffix}", f"hfn{suffix}", f"hff{suffix}"
    try:
        ip("netns", "add", namespace)
        ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", namespace)
    except (OSError, subprocess.CalledProcessError) as error:
        subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)
        pytest.skip(f"cannot make a network namespace here: {error}")
    try:
        ip("addr", "add", "169.254.213.1/30", "dev", near)
        ip("link", "set", near, "up")
        ip("-n", namespace, "addr", "add", "169.254.213.2/30", "dev", far)
        ip("-n", namespace, "link", "set", far, "up")
        yield namespace, "169.254.213.2"
    finally:
        subprocess.run(["ip", "link", "del", near], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


@needs_root
@pytest.mark.parametrize("method", ["icmp", "tcp"])
def test_a_link_cut_for_a_while_is_an_outage_at_least_as_long(far_side: tuple[str, str], method: Method) -> None:
    namespace, address = far_side
    link = f"hff{os.getpid() % 100_000}"
    assert reachable(address, 2) == "icmp"
    watch = OutageWatch(address, method)
    watch.start()
    before = wait_for(watch, 20)
    assert before.probes_lost == 0
    ip("-n", namespace, "link", "set", link, "down")
    cut_s, cut_at_s = time.monotonic(), time.time()
    time.sleep(0.3)
    cut_ms = (time.monotonic() - cut_s) * 1000
    ip("-n", namespace, "link", "set", link, "up")
    assert reachable(address, 20) == "icmp"  # a link takes its time to come up
    wait_for(watch, watch.snapshot().probes_sent + 60)
    seen = watch.stop()
    assert seen.outage_ms is not None
    assert seen.outage_ms >= cut_ms
    assert seen.outage_at is not None
    assert abs(seen.outage_at.timestamp() - cut_at_s) < 1
    assert seen.probes_lost < seen.probes_sent - 20  # answered before and again afterwards, some perhaps late


@needs_root
def test_a_far_side_that_never_answers_is_unknown(far_side: tuple[str, str]) -> None:
    namespace, address = far_side
    ip("-n", namespace, "link", "set", f"hff{os.getpid() % 100_000}", "down")
    assert reachable(address, 0.2) is None
    seen = watched(address, "icmp", 20)
    assert not seen.reachable
    assert seen.outage_ms is None
    assert seen.probes_lost == seen.probes_sent
