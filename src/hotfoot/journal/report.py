"""One migration as one page of HTML that needs nothing else: no network, no script, no font. Pure.

Whatever comes from a cluster, a guest or an operator is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from hotfoot.errors import ExitStatus
from hotfoot.journal.curves import Chart, Mark, Series, Span, key, svg
from hotfoot.journal.record import Record, Timed, iso
from hotfoot.journal.report_style import STYLE
from hotfoot.migration.action import ActionKind
from hotfoot.sizes import human_bytes, human_duration, human_rate

_QEMU_LIMIT_MS = 300
_ACTIONS = {
    ActionKind.DOWNTIME_LIMIT: "downtime limit raised to {} ms",
    ActionKind.THROTTLE: "guest slowed down by {} %",
    ActionKind.POST_COPY: "switched to post-copy",
    ActionKind.PAUSE: "guest suspended until the rest is copied",
    ActionKind.GIVE_UP: "given up",
}


def html(record: Record, samples: Sequence[Timed], actions: Sequence[Timed]) -> str:
    """Return the page."""
    title = f"{record.instance}: {record.source or '?'} → {record.destination or '?'}"
    body = [
        f'<header><p class="over">Hotfoot · migration {escape(record.id)} · cluster {escape(record.cluster)}</p>',
        f"<h1>{escape(title)}</h1>",
        f'<p class="verdict {_tone(record)}"><b>{escape(record.word)}</b> {escape(record.reason or "")}</p></header>',
        _tiles(record),
        _charts(record, samples, actions),
        _action_list(actions),
        _forecast(record),
        _facts(record),
        _sample_table(samples),
        "<footer>Times on the axes count from the start. Downtime is how long the guest's vCPUs stood still, as the"
        " hypervisor reports it; outage is the longest silence that was seen from outside.</footer>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main></body></html>\n"
    )


def _tone(record: Record) -> str:
    if record.outcome == "completed":
        return "good"
    return "bad" if record.status in (ExitStatus.UNKNOWN_STATE, ExitStatus.FAILED_ON_SOURCE) else "plain"


def _tiles(record: Record) -> str:
    lost, sent = record.number("probes_lost"), record.number("probes_sent")
    iterations = record.number("iterations")
    tiles = (
        ("total", _duration(record.number("total_ms")), "from the call to its return"),
        ("downtime", _duration(record.number("downtime_ms")), "vCPUs stood still"),
        (
            "outage",
            _duration(record.number("outage_ms")),
            "not watched" if sent is None else f"{lost} of {sent} probes lost",
        ),
        ("sent", _bytes(record.number("transferred_bytes")), f"of {_bytes(record.memory_bytes)} of memory"),
        ("iterations", "–" if iterations is None else str(iterations), _rate(record.number("throughput_bytes_per_s"))),
    )
    cells = (f"<div><dt>{name}</dt><dd>{escape(value)}</dd><p>{escape(more)}</p></div>" for name, value, more in tiles)
    return f'<dl class="tiles">{"".join(cells)}</dl>'


def _charts(record: Record, samples: Sequence[Timed], actions: Sequence[Timed]) -> str:
    if not samples:
        return '<p class="none">No look at it was kept: it did not begin, or ended before the first.</p>'
    end_s = max(each.at_ms for each in (*samples, *actions)) / 1000
    if (total_ms := record.number("total_ms")) is not None:
        end_s = max(end_s, total_ms / 1000)
    spans = []
    outage_ms = record.number("outage_ms")
    if outage_ms and record.outage_at_ms is not None:
        begins_s = record.outage_at_ms / 1000
        end_s = max(end_s, begins_s + outage_ms / 1000)
        spans.append(Span(begins_s, begins_s + outage_ms / 1000, f"outage: {human_duration(outage_ms)}"))
    marks = [Mark(each.at_ms / 1000, str(i), f"{i}: {_action(each.what)}") for i, each in enumerate(actions, start=1)]
    charts = [chart for chart in _what_to_draw(record, samples, actions, end_s) if chart.series]
    drawn = (
        f"<section><h2>{escape(chart.title)}{key(chart)}</h2>{svg(chart, end_s, marks, spans, labels=not i)}</section>"
        for i, chart in enumerate(charts)
    )
    legend = '<p class="legend"><span class="swatch"></span>outage, as a client saw it</p>' if spans else ""
    return f'<div class="charts">{"".join(drawn)}{legend}</div>'


def _what_to_draw(record: Record, samples: Sequence[Timed], actions: Sequence[Timed], end_s: float) -> Iterable[Chart]:
    memory = Series(name="memory", colour=1, points=_points(samples, "memory_remaining_bytes"), area=True)
    disks = Series(name="disks", colour=2, points=_points(samples, "disk_remaining_bytes"), area=True)
    copies_disks = any(value for _, value in disks.points)
    yield Chart(
        title="Remaining", series=(memory, disks) if copies_disks else (memory,), in_words=human_bytes, binary=True
    )
    sends = Series(name="sent per second", colour=1, points=_points(samples, "throughput_bytes_per_s"))
    dirties = Series(name="dirtied per second", colour=3, points=_points(samples, "dirty_rate_bytes_per_s"))
    yield Chart(title="Bandwidth and dirty rate", series=(sends, dirties), in_words=human_rate, binary=True)
    limit = Series(name="limit", colour=4, points=_limit(record, actions, end_s), steps=True)
    expected = Series(name="expected if it switched over then", colour=1, points=_points(samples, "downtime_ms"))
    if any(value is not None for _, value in expected.points):
        yield Chart(title="Downtime", series=(expected, limit), in_words=human_duration)
    throttle = Series(name="throttle", colour=3, points=_points(samples, "throttle_percent"), area=True, steps=True)
    if any(value for _, value in throttle.points):
        yield Chart(title="Throttle of the guest", series=(throttle,), in_words=lambda percent: f"{percent:.0f} %")


def _points(samples: Sequence[Timed], name: str) -> list[tuple[float, float | None]]:
    found: list[tuple[float, float | None]] = []
    for each in samples:
        value = each.what.get(name)
        known = isinstance(value, (int, float)) and _counted(each.what, name)
        found.append((each.at_ms / 1000, float(value) if known and isinstance(value, (int, float)) else None))
    return found


def _counted(sample: Mapping[str, object], name: str) -> bool:
    """Whether the hypervisor had begun to count: before that, zero says nothing."""
    return not name.endswith("_remaining_bytes") or bool(
        sample.get("memory_total_bytes") or sample.get("disk_total_bytes")
    )


def _limit(record: Record, actions: Sequence[Timed], end_s: float) -> list[tuple[float, float | None]]:
    asked = record.asked.get("first_downtime_ms")
    points: list[tuple[float, float | None]] = [(0.0, float(asked) if isinstance(asked, int) else _QEMU_LIMIT_MS)]
    for each in actions:
        value = each.what.get("value")
        if each.what.get("kind") == ActionKind.DOWNTIME_LIMIT and isinstance(value, int):
            points.append((each.at_ms / 1000, float(value)))
    return [*points, (end_s, points[-1][1])]


def _action(action: Mapping[str, object]) -> str:
    kind, value = str(action.get("kind")), action.get("value")
    words = _ACTIONS[ActionKind(kind)] if kind in list(ActionKind) else kind
    return words.format(value) if value is not None else words.replace(" to {} ms", "").replace(" by {} %", "")


def _action_list(actions: Sequence[Timed]) -> str:
    if not actions:
        return ""
    rows = (
        f'<li><span class="when">{each.at_ms / 1000:.1f} s</span> <b>{escape(_action(each.what))}</b>'
        f" {escape(str(each.what.get('reason') or ''))}</li>"
        for each in actions
    )
    return f'<section><h2>What was done to let it end</h2><ol class="actions">{"".join(rows)}</ol></section>'


def _forecast(record: Record) -> str:
    forecast = record.forecast
    if forecast is None:
        return ""
    rows = []
    for name, words in (
        ("total_ms", _duration),
        ("downtime_ms", _duration),
        ("transferred_bytes", _bytes),
        ("iterations", lambda count: "–" if count is None else str(count)),
    ):
        expected, low, high = (_int(forecast.get(f"{name}{end}")) for end in ("", "_low", "_high"))
        band = "" if low is None or high is None else f"{words(low)} to {words(high)}"
        label = name.removesuffix("_ms").removesuffix("_bytes").replace("_", " ")
        cells = (label, words(expected), band, words(record.number(name)))
        rows.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
    said = ": ".join(str(forecast[name]) for name in ("verdict", "reason") if forecast.get(name))
    head = "<tr><th></th><th>forecast</th><th>between</th><th>it was</th></tr>"
    return (
        f"<section><h2>Forecast and outcome</h2><p>{escape(said)}</p><table>{head}"
        f"{''.join(f'<tr>{row}</tr>' for row in rows)}</table></section>"
    )


def _facts(record: Record) -> str:
    asked = ", ".join(
        f"{name.replace('_', ' ')} {value}"
        for name, value in record.asked.items()
        if value not in (None, False, 0) and name not in ("policy", "first_downtime_ms")
    )
    where = f", logged in from {record.asked_from}" if record.asked_from else ""
    rows = (
        ("started", _moment(record.started_ms)),
        ("ended", "not known to have ended" if record.ended_ms is None else _moment(record.ended_ms)),
        ("asked by", f"{record.owner}{where}"),
        ("asked for", asked),
        ("mode", f"{record.mode} migration" if record.mode else "not started"),
        ("policy", record.policy or "none"),
        ("instance", f"{record.instance} ({record.uuid}), {record.state_before} before"),
    )
    cells = (f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f'<section><h2>What was asked</h2><table class="facts">{"".join(cells)}</table></section>'


def _sample_table(samples: Sequence[Timed]) -> str:
    if not samples:
        return ""
    head = "".join(
        f"<th>{name}</th>"
        for name in ("at", "doing", "iteration", "remaining", "sent", "per second", "dirtied", "throttle")
    )
    rows = []
    for each in samples:
        seen = each.what
        remaining = (_int(seen.get("memory_remaining_bytes")) or 0) + (_int(seen.get("disk_remaining_bytes")) or 0)
        sent = (_int(seen.get("memory_processed_bytes")) or 0) + (_int(seen.get("disk_processed_bytes")) or 0)
        cells = (
            f"{each.at_ms / 1000:.1f} s",
            str(seen.get("phase", "")),
            str(seen.get("iteration", "")),
            _bytes(remaining),
            _bytes(sent),
            _rate(_int(seen.get("throughput_bytes_per_s"))),
            _rate(_int(seen.get("dirty_rate_bytes_per_s"))),
            f"{seen.get('throttle_percent', 0)} %",
        )
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return (
        f"<details><summary>All {len(samples)} looks at it</summary>"
        f'<div class="wide"><table class="looks"><tr>{head}</tr>{"".join(rows)}</table></div></details>'
    )


def _moment(epoch_ms: int) -> str:
    return iso(epoch_ms)[:19].replace("T", " ") + " UTC"


def _int(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float)) else None


def _duration(ms: int | None) -> str:
    return "–" if ms is None else human_duration(ms)


def _bytes(count: int | None) -> str:
    return "–" if count is None else human_bytes(count)


def _rate(rate: int | None) -> str:
    return "–" if rate is None else human_rate(rate)
