"""How a migration is told at its end."""

from __future__ import annotations

import pytest

from hotfoot.cli.closing import print_result
from hotfoot.errors import ExitStatus
from hotfoot.migration.result import Attached, MigrationResult, Outcome


@pytest.mark.parametrize(
    ("status", "headline"),
    [
        (ExitStatus.ERROR, "web1 was not moved."),
        (ExitStatus.ABORTED, "web1 was not moved."),
        (ExitStatus.REFUSED, "web1 cannot move."),
        (ExitStatus.FAILED_ON_SOURCE, "web1 did not move to n2."),
        (ExitStatus.UNKNOWN_STATE, "web1 may not have moved to n2."),
    ],
)
def test_the_headline_doubts_only_what_is_not_known(
    status: ExitStatus, headline: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_result(
        MigrationResult(instance="web1", destination="n2", outcome=Outcome.FAILED, status=status, reason="Why.")
    )
    assert capsys.readouterr().err.splitlines() == [headline, "  Why."]


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
