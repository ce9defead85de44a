"""``hotfoot history`` and ``hotfoot report``: what was moved, how it went, and what it looked like."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli.options import CloudOption, ClusterOption, JsonOption
from hotfoot.cli.tables import print_table
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Cluster
    from hotfoot.journal.record import Record
    from hotfoot.journal.store import Store


def history(
    instance: Annotated[
        str | None, typer.Option("--instance", help="Only this instance: name, UUID, or how the UUID begins.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Only from or to this host.")] = None,
    since: Annotated[str | None, typer.Option(help="Only since then: 12h, 30d, or 2026-11-01.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that did not complete, with reasons.")] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many [default: 20 in the table, else all].")
    ] = None,
    accuracy: Annotated[bool, typer.Option("--accuracy", help="How right the forecasts were.")] = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="Downtime and outage by hosts and policy; failures by reason.")
    ] = False,
    prune: Annotated[
        str | None, typer.Option(metavar="AGE", help="Forget what is older, such as 90d or 2026-01-01.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --prune: only say how many.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the migrations of this cluster, the newest first: those asked for, refused ones too."""
    from hotfoot.journal.store import Wanted

    if sum((accuracy, summary, prune is not None)) > 1 or (as_csv and (as_json or accuracy or summary)):
        raise HotfootError("give one of --accuracy, --summary, --prune, --csv and --json.", ExitStatus.USAGE)
    since_ms = None if since is None else _moment_ms("--since", since)
    declared, store = _open(cluster, cloud_name)
    try:
        if prune is not None:
            _prune(store, declared, prune, dry_run=dry_run, as_json=as_json)
            return
        if limit is None and not (as_json or as_csv or accuracy or summary):
            limit = 20
        wanted = Wanted(
            cluster=declared.name, instance=instance, host=host, since_ms=since_ms, failed=failed, limit=limit
        )
        records = store.records(wanted)
    finally:
        store.close()
    if accuracy:
        _print_accuracy(records, as_json=as_json)
    elif summary:
        _print_summary(records, as_json=as_json)
    elif as_json:
        typer.echo(json.dumps([record.as_json() for record in records]))
    elif as_csv:
        _print_csv(records)
    else:
        _print_records(records, with_reason=failed)


def report(
    migration: Annotated[str, typer.Argument(help="Its id, or how that begins; hotfoot history shows it.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file [default: ID.html]; - prints it.")
    ] = None,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
) -> None:
    """Write one migration as an HTML page with its curves, which needs no network."""
    from hotfoot.journal.report import html

    _, store = _open(cluster, cloud_name)
    try:
        record = store.find(migration)
        page = html(record, store.samples(record.id), store.actions(record.id))
    finally:
        store.close()
    if str(output) == "-":
        typer.echo(page, nl=False)
        return
    path = output or Path(f"{record.id}.html")
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise HotfootError(f"{path} cannot be written: {error.strerror}.") from None
    typer.echo(path)


def _open(cluster: Path | None, cloud_name: str | None) -> tuple[Cluster, Store]:
    """Return the cluster and its journal, in which whatever a killed Hotfoot left is ended first."""
    from hotfoot.cli.session import declared_cluster
    from hotfoot.journal.afterwards import is_orphan
    from hotfoot.journal.place import place_of
    from hotfoot.journal.store import Store

    declared = declared_cluster(cluster, cloud_name)
    store = Store(place_of(declared.journal.url))
    if store.place.may_hold_open and any(is_orphan(left) for left in store.left_open(declared.name)):
        _end_orphans(cluster, cloud_name)
    return declared, store


def _end_orphans(cluster: Path | None, cloud_name: str | None) -> None:
    from hotfoot.cli.orphans import tell_orphans
    from hotfoot.cli.session import with_cloud

    async def work(declared: Cluster, cloud: Cloud) -> None:
        await tell_orphans(declared, cloud)

    with_cloud(cluster, work, cloud_name)


def _moment_ms(option: str, text: str) -> int:
    from hotfoot.journal.ages import moment_ms
    from hotfoot.journal.entries import now_ms

    try:
        return moment_ms(text, now_ms())
    except ValueError as error:
        raise HotfootError(f"{option} {error}.", ExitStatus.USAGE) from None


def _prune(store: Store, declared: Cluster, age: str, *, dry_run: bool, as_json: bool) -> None:
    count = store.prune(declared.name, _moment_ms("--prune", age), dry_run=dry_run)
    if as_json:
        typer.echo(json.dumps({"migrations": count, "dry_run": dry_run}))
    else:
        typer.echo(f"{'Would forget' if dry_run else 'Forgot'} {count} migration{'' if count == 1 else 's'}.")


def _print_records(records: Sequence[Record], *, with_reason: bool) -> None:
    from datetime import datetime

    from hotfoot.sizes import human_bytes, human_duration

    def figure(record: Record, key: str) -> str:
        value = record.number(key)
        return "-" if value is None else human_bytes(value) if key.endswith("_bytes") else human_duration(value)

    if not records:
        typer.echo("No migration is in the journal that fits.")
        return
    rows = []
    for record in records:
        started = f"{datetime.fromtimestamp(record.started_ms / 1000):%Y-%m-%d %H:%M:%S}"
        row = [record.id, started, record.instance, record.source or "-", record.destination or "-", record.word]
        if with_reason:
            row += [record.reason or ""]
        else:
            row += [figure(record, key) for key in ("total_ms", "downtime_ms", "outage_ms", "transferred_bytes")]
            row += [record.owner.user]
        rows.append(row)
    figures = ["REASON"] if with_reason else ["TOTAL", "DOWNTIME", "OUTAGE", "SENT", "BY"]
    print_table(["ID", "STARTED", "INSTANCE", "FROM", "TO", "OUTCOME", *figures], rows)


def _print_csv(records: Sequence[Record]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for i, record in enumerate(records):
        entry = record.as_json()
        if i == 0:
            writer.writerow(entry)
        writer.writerow([json.dumps(value) if isinstance(value, dict | list) else value for value in entry.values()])


def _print_accuracy(records: Sequence[Record], *, as_json: bool) -> None:
    from hotfoot.journal.accuracy import accuracy

    found = accuracy(records)
    if as_json:
        typer.echo(json.dumps({**asdict(found), "right_share": found.right_share}))
        return
    if not found.forecasts:
        typer.echo("No migration with a forecast has ended yet.")
        return

    def share(value: float | None) -> str:
        return "not known" if value is None else f"{100 * value:.0f} %"

    rows = (
        ("forecasts", str(found.forecasts)),
        ("total time", f"wrong by {share(found.total_error_median)} in the median, {share(found.total_error_p90)} at"
                       f" the 90th percentile, of {found.timed} that completed"),
        ("band", f"held the total time of {found.total_in_band} of {found.timed}"),
        ("verdict", f"right for {found.verdicts_right} of {found.verdicts} ({share(found.right_share)})"),
    )  # fmt: skip
    for label, value in rows:
        typer.echo(f"  {label:<12}{value}")


def _print_summary(records: Sequence[Record], *, as_json: bool) -> None:
    from hotfoot.journal.summary import failures, groups
    from hotfoot.sizes import human_duration

    pairs, reasons = groups(records), failures(records)
    if as_json:
        typer.echo(
            json.dumps({"groups": [asdict(each) for each in pairs], "failures": [asdict(one) for one in reasons]})
        )
        return

    def figure(value: int | None) -> str:
        return "-" if value is None else human_duration(value)

    if not pairs and not reasons:
        typer.echo("No migration is in the journal that fits.")
        return
    if pairs:
        print_table(
            ("FROM", "TO", "POLICY", "MIGRATIONS", "COMPLETED", "DOWNTIME", "99 %", "OUTAGE", "99 %"),
            [
                (each.source, each.destination, each.policy or "-", str(each.migrations), str(each.completed),
                 figure(each.downtime_ms_median), figure(each.downtime_ms_p99),
                 figure(each.outage_ms_median), figure(each.outage_ms_p99))
                for each in pairs
            ],
        )  # fmt: skip
    for one in reasons:
        typer.echo(f"{one.count} {one.end}: {one.reason}")
