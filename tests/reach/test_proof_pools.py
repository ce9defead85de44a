"""A pool of Ceph in the program that is sent to hosts, on a machine that is no client of that cluster."""

from __future__ import annotations

from pathlib import Path

from tests.reach.test_proof_host import RUN, Program

POOL = {
    "place": "pool vms",
    "pool": "vms",
    "token": f"hotfoot-proof.{RUN}.n1",
    "user": "hotfoot-no-such-user",
    "secret": "00000000-0000-4000-8000-000000000000",
    "keyring": "/nowhere/ceph.client.hotfoot-no-such-user.keyring",
}


def test_a_pool_that_cannot_be_used_says_why_and_holds_up_no_folder(tmp_path: Path) -> None:
    program = Program("n1")
    token = f".hotfoot-proof-{RUN}.0-n1"
    told = program.ask(beat="prepare", tokens={str(tmp_path): token}, pools=[POOL], network=None)["folders"]
    assert told["pool vms"]["problem"]
    assert told["pool vms"]["refused"] is False
    assert told[str(tmp_path)]["problem"] == ""
    assert (tmp_path / token).exists()
    assert program.ask(beat="clean") == {}
    assert not (tmp_path / token).exists()
    for pipe in (program.process.stdin, program.process.stdout):
        assert pipe is not None
        pipe.close()
    assert program.process.wait(10) == 0
