"""Plans in the journal: kept before and after each move, held against others, taken up again. Blocking calls."""

from __future__ import annotations

import secrets
import string
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.journal.afterwards import SILENT_MS
from hotfoot.journal.living import lives
from hotfoot.journal.owner import Owner
from hotfoot.journal.plan_record import Asked, PlanRecord, PlanState, kept, read
from hotfoot.journal.store import Store, clock_ms
from hotfoot.journal.tables import HOSTS_OUT, PLAN_MOVES, PLANS
from hotfoot.placement.course import Step, StepState

_PLAN_LOCK = 7_405_119  # beside store._UPGRADE_LOCK
_OWNER_KEYS = tuple(field.name for field in fields(Owner))
_KEYS = tuple(field.name for field in fields(PlanRecord) if field.name != "owner")


class TakenOver(HotfootError):
    """Another process carries the plan out now."""


class Plans:
    """The plans of one journal. Every method raises HotfootError where the database cannot do it; none is half done."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def open(
        self, record: PlanRecord, steps: Iterable[Step], out: Collection[str] = (), back: Collection[str] = ()
    ) -> PlanRecord:
        """Keep a plan that begins, and take hosts out of placement, or put them back; returns it with its id.

        Invariant: of two open plans of a cluster none touches a host of the other. Raises HotfootError (refused) with
        the name of the one that is there.
        """
        with self._store.transaction() as database:
            _lock(database)
            taken = _holders(database, record.cluster)
            for host in record.hosts:
                if host in taken:
                    raise busy(host, taken[host])
            now = clock_ms(database)
            record = replace(record, id=_new_id(database, record.made_ms), heartbeat_ms=now)
            database.execute(insert(PLANS).values(_values(record)))
            _save(database, record.id, steps)
            query = select(HOSTS_OUT.c.host).where(HOSTS_OUT.c.cluster == record.cluster)
            there = set(database.execute(query).scalars())
            for host in out:
                if host not in there:
                    row = {"cluster": record.cluster, "host": host, "taken_by": str(record.owner), "since_ms": now}
                    database.execute(insert(HOSTS_OUT).values(**row, why=f"{record.verb}, plan {record.id}"))
            at = (HOSTS_OUT.c.cluster == record.cluster, HOSTS_OUT.c.host.in_(list(back)))
            database.execute(delete(HOSTS_OUT).where(*at))
        return record

    def hold(self, record: PlanRecord, hosts: Collection[str]) -> PlanRecord | str:
        """Let a plan touch more hosts; returns the name of one that another open plan touches, where there is one."""
        with self._store.transaction() as database:
            _lock(database)
            taken = _holders(database, record.cluster, but=record.id)
            clash = next((host for host in hosts if host in taken), None)
            if clash is not None:
                return clash
            record = replace(record, hosts=tuple(dict.fromkeys((*record.hosts, *hosts))))
            database.execute(update(PLANS).where(PLANS.c.id == record.id).values(hosts=list(record.hosts)))
        return record

    def held(self, cluster: str, but: str | None = None) -> Mapping[str, PlanRecord]:
        """Return the hosts that open plans touch, and which plan does; ``but``: not those of this one."""
        if not self._store.place.exists:
            return {}
        with self._store.transaction() as database:
            return _holders(database, cluster, but=but)

    def save(self, plan: str, steps: Iterable[Step]) -> None:
        """Keep moves as they are now."""
        with self._store.transaction() as database:
            _save(database, plan, steps)

    def beat(self, plan: str, owner: Owner) -> Asked | None:
        """Say that the owner lives; returns what somebody else wants of the plan.

        Raises TakenOver when the plan has another owner by now.
        """
        with self._store.transaction() as database:
            mine = (PLANS.c.id == plan, *_owned(owner))
            done = database.execute(update(PLANS).where(*mine).values(heartbeat_ms=clock_ms(database)))
            if not done.rowcount:
                raise TakenOver(f"The plan {plan} was taken over by another Hotfoot: no more moves begin here.")
            wanted = database.execute(select(PLANS.c.wanted).where(PLANS.c.id == plan)).scalar()
        return Asked(wanted) if wanted else None

    def put(self, record: PlanRecord, steps: Iterable[Step] = ()) -> None:
        """Keep a plan's state, what it ended with, and moves; nothing else of it changes."""
        values = {
            "state": record.state.value,
            "wanted": record.wanted.value if record.wanted else None,
            "ended_ms": record.ended_ms,
            "status": record.status,
            "stays": dict(record.stays),
            "remark": record.remark,
        }
        with self._store.transaction() as database:
            database.execute(update(PLANS).where(PLANS.c.id == record.id).values(values))
            _save(database, record.id, steps)

    def want(self, plan: str, wanted: Asked) -> bool:
        """Ask a running plan for something; False when it has ended."""
        with self._store.transaction() as database:
            at = (PLANS.c.id == plan, PLANS.c.ended_ms.is_(None))
            return bool(database.execute(update(PLANS).where(*at).values(wanted=wanted.value)).rowcount)

    def adopt(self, record: PlanRecord, owner: Owner) -> PlanRecord | None:
        """Give an open plan to another owner, and let it run; None when it has ended, or somebody was faster."""
        mine: dict[str, Any] = {f"owner_{key}": value for key, value in asdict(owner).items()}
        mine |= {"state": PlanState.RUNNING.value, "wanted": None, "status": None}
        with self._store.transaction() as database:
            mine["heartbeat_ms"] = clock_ms(database)
            at = (PLANS.c.id == record.id, PLANS.c.ended_ms.is_(None), *_owned(record.owner))
            at = (*at, PLANS.c.heartbeat_ms == record.heartbeat_ms)
            done = database.execute(update(PLANS).where(*at).values(mine))
        if not done.rowcount:
            return None
        return replace(record, owner=owner, state=PlanState.RUNNING, wanted=None, status=None)

    def find(self, cluster: str, name: str | None) -> PlanRecord:
        """Return the plan of an id, or of how one begins; without a name the newest.

        Raises HotfootError (usage) when none fits, or two do.
        """
        found: list[PlanRecord] = []
        if self._store.place.exists:
            query = select(PLANS).where(PLANS.c.cluster == cluster).order_by(PLANS.c.made_ms.desc(), PLANS.c.id.desc())
            if name is not None:
                query = query.where(PLANS.c.id.startswith(name, autoescape=True))
            with self._store.transaction() as database:
                found = [_record(row) for row in database.execute(query.limit(2))]
        if name is None and found:
            return found[0]
        if len(found) != 1:
            many, where = "two plans" if found else "no plan", f"the journal {self._store.place.name} has"
            raise HotfootError(f"{where} {many} {name or f'of the cluster {cluster}'}.", ExitStatus.USAGE)
        return found[0]

    def runs(self, record: PlanRecord) -> bool:
        """Whether the process that carries a plan out lives."""
        if record.state is not PlanState.RUNNING:
            return False
        alive = lives(record.owner)
        if alive is None:
            with self._store.transaction() as database:
                return clock_ms(database) - record.heartbeat_ms <= SILENT_MS
        return alive

    def steps(self, plan: str) -> tuple[Step, ...]:
        """Return the moves of a plan, in their order."""
        query = select(PLAN_MOVES.c.move).where(PLAN_MOVES.c.plan == plan).order_by(PLAN_MOVES.c.n)
        with self._store.transaction() as database:
            return tuple(read(move) for move in database.execute(query).scalars())

    def newest_done(self, cluster: str, most: int) -> tuple[Step, ...]:
        """Return the last moves that were done, of any plan of a cluster; starts of an evacuation are none."""
        if not self._store.place.exists:
            return ()
        query = (
            select(PLAN_MOVES.c.move)
            .join(PLANS, PLANS.c.id == PLAN_MOVES.c.plan)
            .where(PLANS.c.cluster == cluster, PLAN_MOVES.c.state == StepState.DONE.value, PLANS.c.verb != "evacuate")
            .order_by(PLANS.c.made_ms.desc(), PLAN_MOVES.c.n.desc())
            .limit(most)
        )
        with self._store.transaction() as database:
            return tuple(read(move) for move in database.execute(query).scalars())

    def put_back(self, cluster: str, hosts: Collection[str]) -> tuple[str, ...]:
        """Put hosts back into placement; returns those that were out of it."""
        at = (HOSTS_OUT.c.cluster == cluster, HOSTS_OUT.c.host.in_(list(hosts)))
        with self._store.transaction() as database:
            there = tuple(database.execute(select(HOSTS_OUT.c.host).where(*at).order_by(HOSTS_OUT.c.host)).scalars())
            database.execute(delete(HOSTS_OUT).where(*at))
        return there

    def drained(self, cluster: str, hosts: Collection[str]) -> Mapping[str, tuple[str, str]]:
        """Return what left hosts since they were last restored: instance id to (home, where it was put).

        By a drain, or by an evacuation.
        A restore that ended whole settles all drains of its hosts before it, but for what it left where it was since it
        is shut off.
        """
        query = select(PLANS).where(PLANS.c.cluster == cluster).order_by(PLANS.c.made_ms, PLANS.c.id)
        found: dict[str, tuple[str, str]] = {}
        if not self._store.place.exists:
            return found
        with self._store.transaction() as database:
            for record in [_record(row) for row in database.execute(query)]:
                mine = {*hosts} & {*record.asked_hosts}
                if mine and record.verb == "restore" and record.status == ExitStatus.COMPLETED:
                    left = _homes(record) - {step.uuid for step in _done(database, record)}
                    found = {uuid: place for uuid, place in found.items() if place[0] not in mine or uuid in left}
                if record.verb in ("drain", "evacuate"):
                    for step in _done(database, record):
                        if step.uuid in found:
                            found[step.uuid] = (found[step.uuid][0], step.destination)
                        elif step.source in mine:
                            found[step.uuid] = (step.source, step.destination)
        return found


def _done(database: Connection, record: PlanRecord) -> tuple[Step, ...]:
    """Return the moves of a plan that were made, in their order."""
    moves = select(PLAN_MOVES.c.move).where(PLAN_MOVES.c.plan == record.id, PLAN_MOVES.c.state == StepState.DONE.value)
    return tuple(read(move) for move in database.execute(moves.order_by(PLAN_MOVES.c.n)).scalars())


def _homes(record: PlanRecord) -> set[str]:
    """Return the instances that a restore was to bring home."""
    objective = record.wish.get("objective")
    homes = objective.get("homes") if isinstance(objective, Mapping) else None
    return set(homes) if isinstance(homes, Mapping) else set()


def busy(host: str, other: PlanRecord) -> HotfootError:
    """Return what the second one is told."""
    about = f"{host} is touched by the plan {other.id} ({other.title}) of {other.owner}"
    if other.state is PlanState.RUNNING and lives(other.owner) is not False:
        about += f"; `hotfoot plan show {other.id}` shows it"
    else:
        why = "which is paused" if other.state is PlanState.PAUSED else "which has ended"
        about += f", {why}; `hotfoot plan resume {other.id}` goes on with it"
    return HotfootError(f"{about}, `hotfoot plan cancel {other.id}` ends it.", ExitStatus.REFUSED)


def _holders(database: Connection, cluster: str, but: str | None = None) -> dict[str, PlanRecord]:
    query = select(PLANS).where(PLANS.c.cluster == cluster, PLANS.c.ended_ms.is_(None)).order_by(PLANS.c.made_ms)
    found: dict[str, PlanRecord] = {}
    for record in [_record(row) for row in database.execute(query)]:
        if record.id != but:
            found |= dict.fromkeys((host for host in record.hosts if host not in found), record)
    return found


def _lock(database: Connection) -> None:
    """Let one at a time look and write; SQLite's transactions do so by themselves."""
    if database.dialect.name == "postgresql":
        database.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_PLAN_LOCK})")


def _new_id(database: Connection, made_ms: int) -> str:
    begins = f"{datetime.fromtimestamp(made_ms / 1000, UTC):%Y%m%d-%H%M}"
    while True:
        name = f"{begins}-{''.join(secrets.choice(string.ascii_lowercase) for _ in range(3))}"
        if database.execute(select(PLANS.c.id).where(PLANS.c.id == name)).first() is None:
            return name


def _save(database: Connection, plan: str, steps: Iterable[Step]) -> None:
    for step in steps:
        values = {"state": step.state.value, "uuid": step.uuid, "move": kept(step)}
        at = (PLAN_MOVES.c.plan == plan, PLAN_MOVES.c.n == step.n)
        if not database.execute(update(PLAN_MOVES).where(*at).values(values)).rowcount:
            database.execute(insert(PLAN_MOVES).values(plan=plan, n=step.n, **values))


def _owned(owner: Owner) -> tuple[Any, ...]:
    at = PLANS.c
    return (at.owner_boot == owner.boot, at.owner_pid == owner.pid, at.owner_start == owner.start)


def _values(record: PlanRecord) -> dict[str, Any]:
    values = {key: getattr(record, key) for key in _KEYS}
    values |= {"hosts": list(record.hosts), "stays": dict(record.stays), "state": record.state.value}
    values |= {"wish": dict(record.wish), "asked": dict(record.asked)}
    values["wanted"] = record.wanted.value if record.wanted else None
    return values | {f"owner_{key}": getattr(record.owner, key) for key in _OWNER_KEYS}


def _record(row: Row[Any]) -> PlanRecord:
    found = dict(row._mapping)
    owner = Owner(**{key: found[f"owner_{key}"] for key in _OWNER_KEYS})
    values = {key: found[key] for key in _KEYS}
    values |= {"hosts": tuple(values["hosts"]), "state": PlanState(values["state"])}
    values["wanted"] = Asked(values["wanted"]) if values["wanted"] else None
    return PlanRecord(owner=owner, **values)
