"""Users and groups renumbered on a real host, swapped ones too, killed half-way, and taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.workbench import NAME, Bench, states

from hotfoot.readiness.change import (
    AlignIds,
    Phase,
)


@pytest.fixture
def two_users(whole: Bench) -> Iterator[Bench]:
    """The users one (901) and two (902), each with its group, and a folder for files of theirs."""
    kept = "/etc/passwd* /etc/group* /etc/shadow* /etc/gshadow*"
    whole.sh(
        f"mkdir /root/kept; cp -a {kept} /root/kept; useradd -r -u 901 -U one; useradd -r -u 902 -U two;"
        "groupmod -g 901 one; groupmod -g 902 two; mkdir /srv/ids"
    )
    yield whole
    whole.sh(f"rm -f {kept}; cp -a /root/kept/* /etc; rm -r /root/kept /srv/ids")


async def test_users_swap_their_numbers_and_files_follow(two_users: Bench) -> None:
    bench = two_users
    bench.sh(
        "mkdir -p /srv/ids/sub /var/lib/nova/instances; cd /srv/ids; touch a b sub/c; cp /bin/true suid; ln -s /x link;"
        "ln a hard; chown one:one a sub suid; chown two:two b sub/c; chown -h one:two link; chmod 4755 suid;"
        "touch /var/lib/nova/instances/shared; chown one:one /var/lib/nova/instances/shared;"
        'mkdir brick; setfattr -n trusted.glusterfs.volume-id -v 0x01 brick 2>/dev/null || python3 -c "import os;'
        "os.setxattr('brick','trusted.glusterfs.volume-id',b'1')\"; touch brick/x; chown one brick/x"
    )
    see = "cd /srv/ids; stat -c '%n %u:%g %a' a hard b sub sub/c suid link brick/x /var/lib/nova/instances/shared"
    before, names = bench.sh(see), bench.sh("id one; id two")
    step = AlignIds(users={"one": 902, "two": 901}, groups={"one": 902, "two": 901})
    swapped = [
        line if "brick" in line or "shared" in line
        else line.replace("901", "x").replace("902", "901").replace("x", "902")
        for line in before.splitlines()
    ]  # fmt: skip
    assert states(await bench.well(bench.change(step, phase=Phase.IDENTITY))) == ["done"]
    assert bench.sh(see).splitlines() == swapped
    assert "uid=902(one) gid=902(one)" in bench.sh("id one")
    assert states(await bench.well(bench.change(step, phase=Phase.IDENTITY))) == ["unchanged"]
    await bench.all_back()
    assert (bench.sh(see), bench.sh("id one; id two")) == (before, names)
    bench.sh(
        "printf '[Service]\\nUser=one\\nExecStart=/bin/sleep 1000\\n' > /etc/systemd/system/asone.service;"
        "systemctl daemon-reload; systemctl start asone"
    )
    report = await bench.do(bench.change(step, phase=Phase.IDENTITY))
    assert "cannot be renumbered while processes run as them: sleep" in report.steps[0].problem
    assert "asone.service" in report.steps[0].problem
    await bench.well(bench.change(step, phase=Phase.IDENTITY), stop_processes=True)
    assert bench.sh("systemctl is-active asone; ps -o uid= -C sleep | tr -d ' '") == "active\n902\n"
    report_back = await bench.back()
    assert "cannot be renumbered while processes run" in report_back.left[0].problem
    assert (await bench.back(stop_processes=True)).complete
    assert bench.sh(see) == before
    bench.runs.clear()
    bench.sh(
        "systemctl stop asone; rm /etc/systemd/system/asone.service /var/lib/nova/instances/shared;"
        "systemctl daemon-reload"
    )


async def test_renumbering_that_was_killed_is_finished_or_taken_back(two_users: Bench) -> None:
    bench = two_users
    bench.sh(
        "cd /srv/ids; seq 1 6000 | xargs touch; chown one:one *; seq 6001 12000 | xargs touch;"
        "chown two:two $(seq 6001 12000)"
    )
    by_number = "find /srv/ids -printf '%U %G %f\\n' | sort | sha256sum; id one; id two"
    by_name = "find /srv/ids -printf '%u %g %f\\n' | sort | sha256sum"
    before, owners = bench.sh(by_number), bench.sh(by_name)
    step = bench.change(AlignIds(users={"one": 902, "two": 901}, groups={"one": 902, "two": 901}), phase=Phase.IDENTITY)
    killer = (Path(__file__).parent / "kill_applier.py").read_text()
    for moment, repeated in (("list", True), ("numbers", False), ("files", True), ("files", False)):
        run = bench.journal.new_run(NAME)
        killing = asyncio.create_task(asyncio.to_thread(bench.lab.on, "n1", "python3", "-I", "-c", killer, moment, run))
        report = await bench.do(step, run=run)
        assert (await killing, report.outcome) == ("killed\n", "failed"), moment
        if repeated:
            await bench.well(step)
            assert bench.sh(by_name) == owners
            assert "uid=902(one) gid=902(one)" in bench.sh("id one")
        await bench.all_back()
        assert bench.sh(by_number) == before, (moment, repeated)


async def test_a_user_who_has_just_logged_out_is_not_in_the_way(two_users: Bench) -> None:
    bench = two_users
    # As sshd does it: pam_systemd starts a manager of the user's units, which stays for 10 s after the logout.
    bench.sh("systemd-run --quiet --wait --uid=one -p PAMName=login true; pgrep -u one")
    step = bench.change(AlignIds(users={"one": 903}), phase=Phase.IDENTITY)
    assert states(await bench.well(step)) == ["done"]
    assert "uid=903(one)" in bench.sh("id one")
    await bench.all_back()
