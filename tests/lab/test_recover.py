"""The link breaks after the switch to post-copy: for 10 s, for a minute, for good: what is said, and what comes of it.

The SAN is no host, so that the instance keeps its disk when its old host's link is cut.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from tests.lab.command import Said
from tests.lab.labs import TestLab, raised

from hotfoot.lab import faults, network, store, witness
from hotfoot.lab.command import LabError, run
from hotfoot.lab.namespaces import host_argv

SLOW, FAST = "150mbit", "1gbit"
RATE_MIB, AREA_MIB = 60, 48
"""What outruns SLOW, and takes three seconds to be fetched: time enough to cut a link."""
REACH_S, END_S = 90.0, 240.0


@pytest.fixture(scope="module")
def san_lab() -> Iterator[TestLab]:
    with raised("rec", "--hosts", "2", "--instances", "1", "--memory", "128", "--storage", "iscsi") as lab:
        yield lab


class Split:
    """A ``hotfoot migrate`` whose guest runs on the destination, with a part of its memory on the source."""

    def __init__(self, lab: TestLab) -> None:
        self.lab = lab
        self.spec = store.load(lab.name)
        self.source = str(lab.where("vm1"))
        self.destination = next(host for host in lab.hosts if host != self.source)
        self._shape(SLOW)
        witness.ask(self.spec.instance("vm1").address, f"dirty {RATE_MIB} {AREA_MIB}")
        self.process = lab.start(
            "migrate", "vm1", self.destination, "--json", "--no-forecast", "--policy", "must-finish"
        )
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._until(lambda: self.state(self.destination) == "running (post-copy)", "it never was in post-copy")

    def _read(self) -> None:
        self.said += iter(self.process.stderr)

    def _until(self, reached: Callable[[], bool], otherwise: str) -> None:
        end_s = time.monotonic() + REACH_S
        while not reached():
            assert time.monotonic() < end_s, f"{otherwise}: {self.said}"
            assert self.process.poll() is None, f"{otherwise}, and it ended: {self.said}"
            time.sleep(0.05)

    def _shape(self, rate: str) -> None:
        for host in self.spec.hosts:
            network.shape(self.spec, host, rate)

    def state(self, host: str) -> str:
        """Return what libvirt on a host says of the instance."""
        try:
            argv = [*host_argv(self.spec, self.spec.host(host)), "virsh", "-q", "domstate", "vm1", "--reason"]
            return run(argv).strip()
        except LabError:
            return "none"

    def cut(self, host: str) -> None:
        faults.cut_link(self.spec, self.spec.host(host))

    def mend(self, host: str) -> None:
        self._shape(FAST)
        faults.mend_link(self.spec, self.spec.host(host))

    def until_said(self, words: str) -> None:
        self._until(lambda: any(words in line for line in self.said), f"'{words}' was never said")

    def end(self) -> Said:
        """Wait for the end of the command."""
        self.process.wait(END_S)
        self._reader.join()
        return Said(self.process.returncode, self.process.stdout.read(), "".join(self.said))


def came_through(split: Split, said: Said) -> None:
    assert said.status == 0, said.out + said.err
    assert said.json["outcome"] == "completed"
    assert said.json["actions"][-1]["kind"] == "post-copy"
    witness.ask(split.spec.instance("vm1").address, f"dirty 0 {AREA_MIB}")
    assert split.lab.where("vm1") == split.destination
    split.lab.verify("vm1")
    after = split.lab.run("recover", "vm1", "--json")
    assert (after.status, after.json["situation"]) == (0, "whole")


def test_a_link_cut_for_10_s_is_survived(san_lab: TestLab) -> None:
    split = Split(san_lab)
    split.cut(split.source)
    time.sleep(10)
    split.mend(split.source)
    came_through(split, split.end())


@pytest.mark.matrix
def test_a_link_cut_for_a_minute_is_told_waited_for_and_survived(san_lab: TestLab) -> None:
    split = Split(san_lab)
    split.cut(split.source)
    cut_s = time.monotonic()
    split.until_said(f"{split.source}, the source, does not answer")
    assert split.state(split.source) in ("paused (post-copy)", "paused (post-copy failed)")
    assert split.state(split.destination) == "running (post-copy)"
    told = san_lab.run("recover", "vm1", "--dry-run", "--json")
    assert told.status == 6
    assert told.json["situation"] == "source silent"
    assert (told.json["source"], told.json["destination"]) == (split.source, split.destination)
    assert set(told.json["offers"]) == {"wait"}
    time.sleep(max(0.0, cut_s + 60 - time.monotonic()))
    split.mend(split.source)
    came_through(split, split.end())


@pytest.mark.matrix
def test_a_link_cut_for_good_ends_with_what_is_where_and_with_the_next_step(san_lab: TestLab) -> None:
    split = Split(san_lab)
    split.cut(split.destination)
    split.until_said(f"{split.destination}, the destination, does not answer")
    split.process.send_signal(signal.SIGINT)  # there is no way back, and it says so
    told = san_lab.run("recover", "vm1", "--dry-run")
    assert told.status == 6
    assert told.out.startswith("vm1: destination silent")
    said = split.end()
    assert said.status == 6, said.out + said.err
    assert said.json["outcome"] == "failed"
    assert f"{split.source}, the source, is paused (post-copy" in said.json["reason"]
    assert f"{split.destination} may run the guest although it does not answer here" in said.json["reason"]
    assert f"never resume it on {split.source}" in said.json["reason"]
    assert "`hotfoot recover vm1` goes on waiting" in said.json["reason"]
    assert "stopping it now would destroy the instance" in said.err
    assert split.state(split.source) == "paused (post-copy failed)"
    assert split.state(split.destination) == "running (post-copy)"
