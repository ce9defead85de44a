"""Proves what needs two hosts, on all hosts in step: what one writes, holds or offers, the others try to see."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Sequence
from typing import Any

from hotfoot.cluster import Cluster, Host, Iscsi
from hotfoot.errors import HotfootError
from hotfoot.reach.conversation import Conversation, begin
from hotfoot.reach.probe.script import joined
from hotfoot.reach.proof.pairs import Pair, connection_pairs, token_pairs
from hotfoot.reach.secret_file import password_in
from hotfoot.reach.ssh import SshAccess
from hotfoot.readiness.ceph_client import keyring
from hotfoot.readiness.facts import PairProof, PoolProof, Proofs, SharedProof, TargetProof

ON_HOST = ("waiting", "tokens", "doors", "iscsi", "pools", "host_proof")
"""The modules that are sent to hosts, joined; each uses what stands before it."""
_BEGIN_S = 45.0
_LOOK_S = 75.0
_CLEAN_S = 20.0
_CONNECTIONS_AT_ONCE = 32
_TOKEN_PREFIX = ".hotfoot-proof-"
_LIBVIRT_PORTS = {"tls": 16514, "tcp": 16509}


async def prove(
    access: SshAccess, cluster: Cluster, hosts: Sequence[str] | None = None, pairs: Sequence[Pair] | None = None
) -> Proofs:
    """Have hosts (all of the cluster, or those named) prove what they can only prove two by two.

    In each declared storage path each host holds a locked token file for some seconds, and on two of its migration
    ports it listens; the others read the token, try its lock, connect to its ports, log in to it by SSH as the
    migration user, and open a libvirt connection to it. In declared pools of Ceph each host holds such a token too.
    To declared iSCSI targets of QEMU's own initiator each host logs in as QEMU would, and tells which LUNs it sees.
    All of that is gone afterwards, even when this program or the connection ends in the middle.

    Without ``pairs`` up to 12 hosts try each pair in both directions; of more, ``connection_pairs`` and
    ``token_pairs`` choose. With ``pairs``, given as (source, destination), only those are tried.

    A host that cannot take part is in ``problems``, with the sentence why, and in no pair. Raises HotfootError
    (USAGE) for a name that the cluster does not have.
    """
    names = list(dict.fromkeys(hosts if hosts is not None else (host.name for host in cluster.hosts)))
    trials = {name: _Trial(access, cluster.host(name)) for name in names}
    run = secrets.token_hex(6)
    entering = asyncio.Semaphore(_CONNECTIONS_AT_ONCE)
    try:
        await asyncio.gather(*(trial.prepare(run, entering) for trial in trials.values()))
        ready = {name: trial for name, trial in trials.items() if not trial.problem}
        connecting = _within(ready, connection_pairs(list(ready)) if pairs is None else pairs)
        reading = _within(ready, token_pairs(list(ready)) if pairs is None else pairs)
        await asyncio.gather(*(trial.look(_seen_by(name, ready, connecting, reading)) for name, trial in ready.items()))
        # A host that dropped out in the middle took its token with it: what others saw of it proves nothing.
        steady = {name: trial for name, trial in ready.items() if not trial.problem}
        problems = {name: trial.problem for name, trial in trials.items() if trial.problem}
        await asyncio.gather(*(trial.clean() for trial in steady.values()))
    finally:
        await asyncio.gather(*(trial.close() for trial in trials.values()))
    return Proofs(
        pairs=tuple(
            _pair(steady[source], destination)
            for source, destination in _within(steady, connecting)
            if destination in steady[source].seen["peers"]  # else there was no time for it
        ),
        shared=tuple(
            _shared(storage.path, steady[writer], steady[reader])
            for storage in cluster.storage
            for reader, writer in _within(steady, reading)
        ),
        pools=tuple(
            _pool(pool, steady[writer], steady[reader])
            for pool in (cluster.ceph.pools if cluster.ceph else ())
            for reader, writer in _within(steady, reading)
        ),
        targets=tuple(
            TargetProof(host=name, target=target, **told)
            for name, trial in steady.items()
            for target, told in trial.seen["targets"].items()
        ),
        problems=problems,
    )


def _within(hosts: dict[str, _Trial], pairs: Sequence[Pair]) -> list[Pair]:
    return [(source, destination) for source, destination in pairs if source in hosts and destination in hosts]


class _Trial:
    """One host's part: what it prepared, what it saw, or why it dropped out."""

    def __init__(self, access: SshAccess, host: Host) -> None:
        self.host = host
        self.access = access
        self.problem = ""
        self.tokens: dict[str, str] = {}
        """Name of its token in each storage path, and in each pool of Ceph by ``_place_of``."""
        self.prepared: dict[str, Any] = {}
        self.seen: dict[str, Any] = {"tokens": {}, "peers": {}, "targets": {}}
        self._conversation: Conversation | None = None

    async def prepare(self, run: str, entering: asyncio.Semaphore) -> None:
        cluster = self.access.cluster
        self.tokens = {
            storage.path: f"{_TOKEN_PREFIX}{run}.{number}-{self.host.name}"
            for number, storage in enumerate(cluster.storage)
        }
        pools = _pools(cluster, run, self.host)
        question = {
            "beat": "prepare",
            "tokens": self.tokens,
            "pools": pools,
            "network": cluster.migration.network if cluster.migration_address_of(self.host) is None else None,
        }
        self.tokens = self.tokens | {asked["place"]: asked["token"] for asked in pools}
        async with entering:
            source = joined("hotfoot.reach.proof", ON_HOST)
            self._conversation = await begin(self.access, self.host, source, "host_proof.py")
            self.prepared = await self._ask(question, _BEGIN_S)

    async def look(self, question: dict[str, Any]) -> None:
        self.seen = await self._ask(question, _LOOK_S) or self.seen

    async def clean(self) -> None:
        await self._ask({"beat": "clean"}, _CLEAN_S)

    async def close(self) -> None:
        if self._conversation is not None:
            await self._conversation.close()

    async def _ask(self, question: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        assert self._conversation is not None
        try:
            async with asyncio.timeout(timeout_s):
                await self._conversation.tell(json.dumps(question))
                while True:
                    line = await self._conversation.hear()
                    if (answer := _answer(line, question["beat"])) is not None:
                        return answer
        except TimeoutError:
            self.problem = f"host {self.host.name} did not end its part of the proof within {timeout_s:g} s"
        except HotfootError as error:
            self.problem = str(error)
        return {}

    @property
    def stream_address(self) -> str:
        """Where it receives the memory of instances, as far as anybody knows."""
        own = self.prepared["addresses"]
        declared = self.access.cluster.migration_address_of(self.host)
        return declared or (own[0] if own else self.host.address)


def _answer(line: str, beat: str) -> dict[str, Any] | None:
    """Read an answer; a line of another kind (a login shell that greets) is passed over."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("beat") == beat else None


def _seen_by(
    name: str, trials: dict[str, _Trial], connecting: Sequence[Pair], reading: Sequence[Pair]
) -> dict[str, Any]:
    """Return what a host is asked to look at."""
    writers = [trials[writer] for reader, writer in reading if reader == name]
    return {
        "beat": "look",
        "peers": [_peer(trials[destination]) for source, destination in connecting if source == name],
        "tokens": {
            path: [
                {"host": writer.host.name, "name": writer.tokens[path]}
                | {key: folder[key] for key in ("sha256", "uid", "gid") if key in folder}
                for writer in writers
                if not (folder := writer.prepared["folders"][path])["problem"]
            ]
            for path, own in trials[name].prepared["folders"].items()
            if not own["problem"]
        },
        "targets": [_target(each) for each in trials[name].access.cluster.iscsi if each.initiator == "qemu"],
    }


def _target(iscsi: Iscsi) -> dict[str, Any]:
    """Return what a host needs to log in as QEMU does; the password goes no other way than this question."""
    chap = iscsi.chap
    return {
        "portal": iscsi.portal,
        "target": iscsi.target,
        "user": chap.user if chap else "",
        "password": password_in(chap.password_file) if chap else "",
        "secret": chap.secret if chap else "",
    }


def _peer(trial: _Trial) -> dict[str, Any]:
    """Return which doors of a destination to knock at, and what to try behind them."""
    cluster, host = trial.access.cluster, trial.host
    ssh_port = cluster.ssh_of(host).port or 22
    user = cluster.migration_user
    at_ssh = [host.address, ssh_port]
    tries: dict[str, Any] = {}
    if user is not None:
        tries["ssh"] = {"at": at_ssh, "user": user, "argv": login_argv(host.name, ssh_port)}
    knock = [at_ssh]
    if cluster.libvirt.transport == "ssh":
        libvirt = {"at": at_ssh, "user": user, "argv": libvirt_argv(cluster, host)}
    else:
        at_libvirt = [host.address, cluster.libvirt.port or _LIBVIRT_PORTS[cluster.libvirt.transport]]
        knock.append(at_libvirt)
        libvirt = {"at": at_libvirt, "user": None, "argv": libvirt_argv(cluster, host)}
    knock += [[trial.stream_address, port] for port in trial.prepared["ports"]]
    return {"host": host.name, "knock": knock, "tries": {**tries, "libvirt": libvirt}}


def login_argv(name: str, port: int) -> list[str]:
    """Return the login from one host to another: by its name, which the names of a cluster must resolve to.

    Host keys are checked whatever the user's own configuration says, and nothing is learnt or left on the way.
    """
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "ConnectTimeout": "15",
        "ControlMaster": "no",
        "ControlPath": "none",
        "LogLevel": "ERROR",
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return ["ssh", *words, *(["-p", str(port)] if port != 22 else []), "--", name, "true"]


def libvirt_argv(cluster: Cluster, host: Host) -> list[str]:
    """Return the libvirt connection from one host to another: by the address that migrations use, and read-write."""
    transport = cluster.libvirt.transport
    user = cluster.migration_user if transport == "ssh" else None
    port = cluster.ssh_of(host).port if transport == "ssh" else cluster.libvirt.port
    address = f"[{host.address}]" if ":" in host.address else host.address
    place = f"{f'{user}@' if user else ''}{address}{f':{port}' if port else ''}"
    return ["virsh", "-q", "-c", f"qemu+{transport}://{place}/system{'?no_tty=1' if user else ''}", "hostname"]


def _pair(source: _Trial, destination: str) -> PairProof:
    found = source.seen["peers"][destination]
    return PairProof(
        source=source.host.name,
        destination=destination,
        ssh=found["said"].get("ssh"),
        libvirt=found["said"].get("libvirt"),
        ports=found["ports"],
    )


def _place_of(pool: str) -> str:
    return f"pool {pool}"


def _pools(cluster: Cluster, run: str, host: Host) -> list[dict[str, str]]:
    """Return what a host needs to use each declared pool as QEMU does; no key, which it has itself."""
    ceph = cluster.ceph
    if ceph is None:
        return []
    return [
        {
            "place": _place_of(pool),
            "pool": pool,
            "token": f"hotfoot-proof.{run}.{host.name}",
            "user": ceph.user,
            "secret": ceph.secret,
            "keyring": keyring(ceph.user),
        }
        for pool in ceph.pools
    ]


def _pool(pool: str, writer: _Trial, reader: _Trial) -> PoolProof:
    names: dict[str, Any] = {"pool": pool, "writer": writer.host.name, "reader": reader.host.name}
    place = _place_of(pool)
    for trial in (writer, reader):
        told = trial.prepared["folders"][place]
        if told["problem"]:
            return PoolProof(**names, failed_on=trial.host.name, problem=told["problem"], refused=told["refused"])
    seen = reader.seen["tokens"].get(place, {}).get(writer.host.name)
    if seen is None or seen["problem"]:
        problem = seen["problem"] if seen else "it did not answer in time"
        return PoolProof(**names, failed_on=reader.host.name, problem=problem)
    lock_error = writer.prepared["folders"][place]["lock_error"] or seen["lock_error"]
    return PoolProof(**names, same=seen["same"], lock_refused=seen["lock_refused"], lock_error=lock_error)


def _shared(path: str, writer: _Trial, reader: _Trial) -> SharedProof:
    wrote = writer.prepared["folders"][path]
    told = reader.seen["tokens"].get(path)
    names: dict[str, Any] = {"path": path, "writer": writer.host.name, "reader": reader.host.name}
    for trial in (writer, reader):
        if problem := trial.prepared["folders"][path]["problem"]:
            name = trial.host.name
            return SharedProof(**names, failed_on=name, problem=f"{name} cannot write a token into {path}: {problem}")
    if told is None:
        problem = f"{path} on {reader.host.name} did not answer in time"
        return SharedProof(**names, failed_on=reader.host.name, problem=problem)
    seen = told[writer.host.name]
    if seen["problem"]:
        problem = f"{reader.host.name} cannot read the token of {writer.host.name} in {path}: {seen['problem']}"
        return SharedProof(**names, failed_on=reader.host.name, problem=problem)
    return SharedProof(
        **names,
        same=seen["same"],
        writer_uid=wrote["uid"],
        writer_gid=wrote["gid"],
        reader_uid=seen.get("uid"),
        reader_gid=seen.get("gid"),
        lock_refused=seen.get("lock_refused"),
        lock_error=wrote["lock_error"] or seen["lock_error"],
        direct=seen.get("direct"),
    )
