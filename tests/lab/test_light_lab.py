"""As many light hosts as a lab can have: each tells its facts, and nothing of them is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.lab.command import hotfoot
from tests.lab.labs import raised, remains

from hotfoot.lab import namespaces, store

pytestmark = pytest.mark.matrix  # some minutes

HOSTS = 50


def test_fifty_light_hosts_tell_their_facts_and_leave_nothing() -> None:
    limit = Path("/proc/sys/fs/inotify/max_user_instances").read_text()
    with raised("light", "--light", "--hosts", str(HOSTS), "--storage", "none", timeout_s=560) as lab:
        state = store.load("light")
        names = [f"n{i}" for i in range(1, HOSTS + 1)]
        assert list(lab.hosts) == names
        assert len({os.readlink(f"/proc/{host.init_pid}/ns/user") for host in state.hosts}) == HOSTS
        for host in (names[0], names[-1]):
            assert lab.on(host, "systemctl", "is-system-running", "--wait").strip() == "running"

        looked = lab.run("check", "--no-proofs", "--json", timeout_s=560)
        assert looked.out, looked.err
        told = {host["name"]: host for host in looked.json["hosts"]}
        assert sorted(told) == sorted(names)
        assert [name for name in names if not told[name]["answers"]] == []
        unknown = {topic for name in names for topic, mark in told[name]["topics"].items() if mark == "unknown"}
        assert unknown == {"connections", "ports"}  # which only tries of two hosts tell
        assert [each["what"] for each in looked.json["findings"] if each["severity"] != "advice"] == []

        refused = hotfoot("lab", "instance", "add", "--name", "light")
        assert (refused.status, "is a light one" in refused.err) == (2, True), refused

        lab.lab("fault", "kill-host", "n7")
        assert not namespaces.is_running(state.host("n7").init_pid, state.host("n7").init_started)
        lab.lab("fault", "start-host", "n7")
        assert lab.on("n7", "hostname").strip() == "n7"
    assert remains("light", state.number) == []
    assert Path("/proc/sys/fs/inotify/max_user_instances").read_text() == limit
