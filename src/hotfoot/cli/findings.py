"""Findings as people read them: two tables of marks, then each finding, the worst first; and as JSON."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from hotfoot.cluster import Cluster
    from hotfoot.readiness.facts import Facts
    from hotfoot.readiness.finding import Finding, Topic
    from hotfoot.readiness.summary import Group, Mark, Said

_WORDS = {
    "blocks": "blocks migration",
    "dangerous": "dangerous",
    "advice": "advice",
    "ok": "nothing found",
    "unknown": "not looked at, or not told",
}
_SIGNS = {"blocks": "✗", "dangerous": "!", "advice": "a", "ok": "·", "unknown": "?"}
_PLAIN_SIGNS = {**_SIGNS, "blocks": "X", "ok": "."}
_COLOURS = {"blocks": "red", "dangerous": "yellow", "advice": "cyan", "ok": "green", "unknown": "magenta"}
_WIDEST = 120
_MOST_COLUMNS = 40
"""Hosts in the table of topics; of a larger cluster only those with findings are shown."""
_MOST_IN_PAIRS = 12
_MOST_PLACES = 12
_MOST_SENTENCES = 6
_MOST_LINES = 8


def print_findings(facts: Facts, topics: Sequence[Topic], findings: Sequence[Finding], hosts: Sequence[str]) -> None:
    """Print tables, findings and the closing sentence about the hosts that were asked for."""
    from hotfoot.readiness.summary import pair_marks, topic_marks

    names = [topic.name for topic in topics]
    marks, between = topic_marks(findings, facts, topics, hosts), pair_marks(findings, facts, hosts)
    print_marked(names, marks, between, findings, hosts)
    if facts.proofs is None and len(hosts) > 1:
        one_by_one = "Hosts were looked at one by one; without --no-proofs they are tried two by two as well."
        print_wrapped("", one_by_one, indent="")


def print_marked(
    topics: Sequence[str],
    marks: Mapping[tuple[str, str], Mark],
    between: Mapping[tuple[str, str], Mark],
    findings: Sequence[Finding],
    hosts: Sequence[str],
) -> None:
    """Print the tables of marks, by topic and host and by source and destination, findings and the closing sentence."""
    from hotfoot.readiness.summary import grouped

    signs = _signs()
    _print_topics(topics, marks, hosts, signs)
    if 1 < len(hosts) <= _MOST_IN_PAIRS:
        typer.echo()
        _print_table("FROM / TO", list(hosts), list(hosts), lambda source, to: between.get((source, to)), signs)
    _print_legend(signs)
    for group in grouped(findings):
        typer.echo()
        print_group(group)
    typer.echo()
    print_wrapped("", closing_sentence(findings, hosts), indent="")


def _print_legend(signs: dict[str, str]) -> None:
    typer.echo()
    for part in _parts([f"{signs[name]} {_WORDS[name]}" for name in _SIGNS], _width()):
        typer.echo("  ".join(_coloured(signs, text) for text in part))


def _coloured(signs: dict[str, str], text: str) -> str:
    name = next(name for name, sign in signs.items() if sign == text[0])
    return _styled(signs, name) + text[1:]


def print_instance(instance: str, source: str, states: Mapping[str, Mark], findings: Sequence[Finding]) -> None:
    """Print where an instance can go, and what stands in the way."""
    from hotfoot.readiness.summary import grouped

    signs = _signs()
    _print_table("FROM / TO", [source], list(states), lambda _, host: states[host], signs)
    _print_legend(signs)
    for group in grouped(findings):
        typer.echo()
        print_group(group)
    barred = [host for host, state in states.items() if state == "blocks"]
    free = [host for host in states if host not in barred]
    can = f"can go from {source} to {_places(free)}" if free else f"can go nowhere from {source}"
    but = f"; not to {_places(barred)}" if barred and free else ""
    typer.echo()
    print_wrapped("", f"{instance} {can}{but}. Memory and load are looked at when it moves.", indent="")


def closing_sentence(findings: Sequence[Finding], hosts: Sequence[str]) -> str:
    """Say how many findings there are, and how many of them prepare would mend."""
    from hotfoot.readiness.summary import counts

    found = counts(findings)
    if not found.total:
        return f"Nothing found: {_count(len(hosts), 'host')} looked at."
    parts = [
        (found.blocks, "blocks migration", "block migration"),
        (found.dangerous, "is dangerous", "are dangerous"),
        (found.advice, "is advice", "are advice"),
    ]
    told = [(count, one if count == 1 else many) for count, one, many in parts if count]
    first, *others = told
    sentence = ", ".join([f"{_count(first[0], 'finding')} {first[1]}", *(f"{n} {words}" for n, words in others)])
    if found.mendable:
        mends = "it" if found.total == 1 else "all" if found.mendable == found.total else f"{found.mendable} of them"
        return f"{sentence}; `hotfoot prepare --dry-run` shows what would mend {mends}."
    return f"{sentence}; {'it is' if found.total == 1 else 'all are'} left to a person."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _signs() -> dict[str, str]:
    try:
        "".join(_SIGNS.values()).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _PLAIN_SIGNS
    return _SIGNS


def _styled(signs: dict[str, str], name: str) -> str:
    return typer.style(signs[name], fg=_COLOURS[name], bold=name != "ok")


def _print_topics(
    topics: Sequence[str], marks: Mapping[tuple[str, str], Mark], hosts: Sequence[str], signs: dict[str, str]
) -> None:
    shown = list(hosts)
    if len(hosts) > _MOST_COLUMNS:
        # What no host told, such as trials that were not made, sets none apart.
        telling = [topic for topic in topics if any(marks[topic, host] != "unknown" for host in hosts)]
        clean = {host for host in hosts if all(marks[topic, host] == "ok" for topic in telling)}
        shown = [host for host in hosts if host not in clean]
        left = f"{_count(len(clean), 'host')} without a finding {'is' if len(clean) == 1 else 'are'} left out."
        print_wrapped("", left, indent="")
        typer.echo()
    _print_table("", topics, shown, lambda name, host: marks[name, host], signs)


def _print_table(
    corner: str,
    rows: Sequence[str],
    columns: Sequence[str],
    mark: Callable[[str, str], Mark | None],
    signs: dict[str, str],
) -> None:
    """Print marks in as many tables as the terminal's width asks for."""
    left = max(map(len, (corner, *rows)), default=0)
    for number, part in enumerate(_parts(columns, _width() - left)):
        if number:
            typer.echo()
        typer.secho("  ".join([corner.ljust(left), *part]).rstrip(), bold=True)
        for row in rows:
            line = row.ljust(left)
            for column in part:
                name = mark(row, column)
                line += "  " + (_styled(signs, name) if name else " ") + " " * (len(column) - 1)
            typer.echo(line.rstrip())


def _parts(columns: Sequence[str], room: int) -> Iterator[list[str]]:
    part: list[str] = []
    used = 0
    for column in columns:
        if part and used + len(column) + 2 > room:
            yield part
            part, used = [], 0
        part.append(column)
        used += len(column) + 2
    if part:
        yield part


def print_group(group: Group) -> None:
    """Print what is wrong, where, what was seen, why it matters, and what to do."""
    name = group.severity.name.lower()
    places = _places(group.places)
    fits = len(f"{group.severity.word}  {group.code}  {places}") <= _width()
    head = typer.style(group.severity.word, fg=_COLOURS[name], bold=True)
    typer.echo(f"{head}  {typer.style(group.code, bold=True)}{f'  {places}' if fits else ''}")
    if not fits:
        print_wrapped("on", places)
    for text, _ in _first(group.what):
        print_wrapped("", text)
    _print_labelled("seen", group.evidence)
    print_wrapped("why", group.why)
    _print_labelled("remedy", group.remedy)


def _first(said: Said) -> Said:
    if len(said) <= _MOST_SENTENCES:
        return said
    rest = tuple(place for _, places in said[_MOST_SENTENCES - 1 :] for place in places)
    return (*said[: _MOST_SENTENCES - 1], (f"... and the like for {_places(rest)}; --json tells all", rest))


def _places(places: Sequence[str]) -> str:
    more = len(places) - _MOST_PLACES
    return ", ".join(places[:_MOST_PLACES]) + (f" and {more} more" if more > 0 else "")


def _print_labelled(label: str, said: Said) -> None:
    """Print sentences below one label, each with its places where they differ."""
    for text, places in _first(said):
        lines = text.rstrip("\n").splitlines()
        if len(lines) > _MOST_LINES:
            lines = [*lines[: _MOST_LINES - 1], f"... and {len(lines) - _MOST_LINES + 1} lines more"]
        named = len(places) == 1 and places[0] in text.split()
        if len(said) > 1 and not named and not text.startswith("... "):
            where = f"{_places(places)}:"
            lines = [f"{where} {lines[0]}"] if len(lines) == 1 else [where, *lines]
        for line in lines:
            print_wrapped(label, line)
            label = " "


def print_wrapped(label: str, text: str, indent: str = "  ") -> None:
    """Print a text as wide as the terminal, below its label; nothing for an empty one."""
    indent += label.ljust(8) if label else ""
    if not text:
        return
    wrapped = textwrap.fill(
        text,
        width=_width(),
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
        break_long_words=False,
        break_on_hyphens=False,
    )
    typer.echo(wrapped)


def _width() -> int:
    return min(_WIDEST, shutil.get_terminal_size((100, 24)).columns)


def findings_json(
    cluster: Cluster, facts: Facts, topics: Sequence[Topic], findings: Sequence[Finding], hosts: Sequence[str]
) -> dict[str, Any]:
    """Return findings, hosts and pairs as JSON shows them: names and marks, no layout."""
    from hotfoot.readiness.summary import pair_marks, topic_marks

    problems = {silence.host: silence.reason for silence in facts.silent}
    told = [
        {
            "name": host,
            "address": cluster.host(host).address,
            "answers": host in facts.by_name,
            "problem": problems.get(host),
        }
        for host in hosts
    ]
    names = [topic.name for topic in topics]
    return marked_json(
        names, topic_marks(findings, facts, topics, hosts), pair_marks(findings, facts, hosts), findings, told
    )


def marked_json(
    topics: Sequence[str],
    marks: Mapping[tuple[str, str], Mark],
    between: Mapping[tuple[str, str], Mark],
    findings: Sequence[Finding],
    hosts: Sequence[Mapping[str, object]],
) -> dict[str, Any]:
    """Return findings, hosts and pairs; of each host its ``name`` is given, and what is known beside its marks."""
    from hotfoot.readiness.summary import worst

    return {
        "findings": [finding_json(finding) for finding in findings],
        "hosts": [
            {
                **host,
                "state": worst(marks[topic, str(host["name"])] for topic in topics),
                "topics": {topic: marks[topic, str(host["name"])] for topic in topics},
            }
            for host in hosts
        ],
        "pairs": [
            {"source": source, "destination": destination, "state": mark}
            for (source, destination), mark in between.items()
        ],
    }


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return one finding; ``mendable`` tells whether prepare has changes for it."""
    return {
        "code": finding.code,
        "topic": finding.topic,
        "severity": finding.severity.name.lower(),
        "host": finding.host,
        "peer": finding.peer,
        "what": finding.what,
        "evidence": finding.evidence,
        "why": finding.why,
        "remedy": finding.remedy,
        "mendable": bool(finding.changes),
    }
