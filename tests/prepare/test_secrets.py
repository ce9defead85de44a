"""Secrets in a plan: read when it is carried out and not before, and in nothing that is printed or exported."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotfoot.cluster.validation import cluster_from
from hotfoot.errors import HotfootError
from hotfoot.prepare.export_ansible import ansible
from hotfoot.prepare.export_shell import shell
from hotfoot.prepare.journal import Journal
from hotfoot.prepare.run import carry_out
from hotfoot.reach.ssh import prepare
from hotfoot.readiness.change import DefineSecret, Phase
from hotfoot.readiness.plan import Plan, PlannedChange, title


def a_plan(file: Path) -> Plan:
    step = DefineSecret(uuid="6d3b4c1e-98c5-4c7e-9a55-2f6e0c6a0f01", kind="iscsi", usage="iqn.x:y", file=str(file))
    change = PlannedChange(
        host="n1", phase=Phase.LIBVIRT, step=step, codes=("iscsi.no-secret",), title=title(step), diff=""
    )
    return Plan(changes=(change,))


@pytest.mark.parametrize("export", [shell, ansible])
def test_an_export_says_what_is_left_to_do_and_holds_no_secret(export: object, tmp_path: Path) -> None:
    file = tmp_path / "chap"
    file.write_text("geheim\n")
    told = export(a_plan(file))  # type: ignore[operator]
    assert "libvirt hold the secret 6d3b4c1e-98c5-4c7e-9a55-2f6e0c6a0f01" in told
    assert "geheim" not in told


async def test_nothing_is_begun_when_the_file_of_a_secret_may_be_read_by_others(tmp_path: Path) -> None:
    file = tmp_path / "chap"
    file.write_text("geheim\n")
    file.chmod(0o644)
    cluster = cluster_from({"hosts": [{"name": "n1", "address": "127.0.0.1"}]})
    journal = Journal(tmp_path / "journal.sqlite3")
    run = journal.new_run("cluster")
    with pytest.raises(HotfootError, match="others may read"):
        await carry_out(prepare(cluster, tmp_path), cluster, a_plan(file), run_id=run, journal=journal)
    assert journal.steps(run) == ()
