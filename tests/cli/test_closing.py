"""How a migration is told at its end."""

from __future__ import annotations

import pytest

from hotfoot.cli.closing import print_result
from hotfoot.errors import ExitStatus
from hotfoot.migration.result import Attached, MigrationResult, Outcome


def test_volumes_and_ports_are_shown_as_they_were_and_are(capsys: pytest.CaptureFixture[str]) -> None:
    attached = (
        Attached(kind="volume", id="8f3c11d2-0000", before="/dev/vdb", after="/dev/vdb"),
        Attached(kind="volume", id="9a4d22e3-0000", before="/dev/vdc", after=None),
        Attached(kind="port", id="77f36d4a-0000", before="10.0.0.7 ACTIVE", after="10.0.0.7 DOWN"),
    )
    print_result(
        MigrationResult(
            instance="web1", source="n1", destination="n2", mode="live", outcome=Outcome.COMPLETED,
            status=ExitStatus.COMPLETED, attached=attached,
        )
    )  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [
        "  volumes   8f3c11d2 /dev/vdb, as before; 9a4d22e3 gone, before /dev/vdc",
        "  ports     77f36d4a 10.0.0.7 DOWN, before 10.0.0.7 ACTIVE",
    ]
